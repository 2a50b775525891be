"""Fields that were set and change nothing, given the others: not wrong, but worth saying (torch-free)."""

from __future__ import annotations

from splitcore.config.run import RunConfig


def idle_fields(config: RunConfig) -> list[dict[str, str]]:
    """Each field that differs from its default without effect: field (dotted) and why."""
    schedule, cached, tells = config.schedule, bool(config.caches), config.data.task.classes > 0
    waits = schedule.lateness()[0] == "wait"
    reasons = {
        "split.tail_layers": config.split.topology == "vanilla" and "there's no tail in the vanilla topology",
        f"schedule.{schedule.name}.deadline_factor": waits and "the run waits for late organisations",
        "data.template": tells and "a text whose label is told is taken as it is",
        "data.loss_on": tells and "the loss is that of the label",
        "privacy.sums": not schedule.exchange(2).hides_ends and "no adapter is exchanged in this schedule",
        "wire.cache_mb": not cached and "no cache is in use",
        "wire.cache_on": not cached and "no cache is in use",
    }
    return [{"field": path, "message": why} for path, why in reasons.items() if why and _is_set(config, path)]


def _is_set(config: RunConfig, path: str) -> bool:
    section, *_, name = path.split(".")
    part = getattr(config, section)
    field = type(part).model_fields.get(name)
    return field is not None and bool(getattr(part, name) != field.default)
