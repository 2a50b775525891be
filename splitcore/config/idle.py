"""Fields that were set and change nothing, given the others: not wrong, but worth saying (torch-free)."""

from __future__ import annotations

from splitcore.config.run import RunConfig


def idle_fields(config: RunConfig) -> list[dict[str, str]]:
    """Each field that differs from its default without effect: field (dotted) and why."""
    schedule, cached = config.schedule, bool(config.caches)
    waits = schedule.lateness()[0] == "wait"
    reasons = {
        "split.tail_layers": config.split.topology == "vanilla" and "in the topology vanilla there is no tail",
        f"schedule.{schedule.name}.deadline_factor": waits and "a late organisation is waited for",
        "wire.cache_mb": not cached and "nothing is kept in a cache",
        "wire.cache_on": not cached and "nothing is kept in a cache",
    }
    return [{"field": path, "message": why} for path, why in reasons.items() if why and _is_set(config, path)]


def _is_set(config: RunConfig, path: str) -> bool:
    section, *_, name = path.split(".")
    part = getattr(config, section)
    field = type(part).model_fields.get(name)
    return field is not None and bool(getattr(part, name) != field.default)
