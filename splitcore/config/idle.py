"""Fields that were set and change nothing, given the others: not wrong, but worth saying (torch-free)."""

from __future__ import annotations

from splitcore.config.run import RunConfig


def idle_fields(config: RunConfig) -> list[dict[str, str]]:
    """Each field that differs from its default without effect: field (dotted) and why."""
    schedule, wire = config.schedule, config.wire
    fine = ("fp32", "bf16")
    cached = bool(wire.changes) or config.training.cache_activations
    reasons = {
        "split.tail_layers": config.split.topology == "vanilla" and "in the topology vanilla there is no tail",
        "schedule.aggregate_every": schedule.mode in ("sequential", "personalised") and f"the mode is {schedule.mode}",
        "schedule.turn_steps": schedule.mode != "sequential" and f"the mode is {schedule.mode}",
        "schedule.relay": schedule.mode != "sequential" and f"the mode is {schedule.mode}",
        "schedule.group_clients": schedule.mode == "sequential" and "the mode is sequential",
        "schedule.deadline_factor": schedule.straggler == "wait" and "a late organisation is waited for",
        "wire.gradient_rounding": wire.gradients in fine and f"gradients are sent as {wire.gradients}",
        "wire.cache_mb": not cached and "nothing is kept in a cache",
        "wire.cache_on": not cached and "nothing is kept in a cache",
    }
    return [{"field": path, "message": why} for path, why in reasons.items() if why and _is_set(config, path)]


def _is_set(config: RunConfig, path: str) -> bool:
    section, _, name = path.partition(".")
    part = getattr(config, section)
    return bool(getattr(part, name) != type(part).model_fields[name].default)
