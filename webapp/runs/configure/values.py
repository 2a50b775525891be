"""What a nested configuration holds for each field of the form, and how a field is written into one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from splitcore.config.older import privacy_read, schedule_read, wire_read
from webapp.runs.configure.schema import FieldSpec, field_specs, specs_by_path

_ABSENT = object()


def value_at(config: Mapping[str, Any], spec: FieldSpec) -> Any:
    """What a configuration of any age holds for a field: else its default. Of a choice, the name."""
    value = _found(older_forms(config), spec.listed or spec.within or spec.path)
    if spec.listed:
        entry = _entry(value, spec)
        return entry is not None if not spec.within else (entry or {}).get(spec.name, spec.default)
    if not spec.within:
        value = value.get("name", _ABSENT) if spec.kind == "choice" and isinstance(value, Mapping) else value
        return spec.default if value is _ABSENT else value
    is_chosen = isinstance(value, Mapping) and value.get("name") in spec.members
    return value.get(spec.name, spec.default) if is_chosen else spec.default


def is_chosen(config: Mapping[str, Any], spec: FieldSpec) -> bool:
    """Whether a field belongs to what a configuration chooses; one that stands in no strategy always does."""
    if not spec.within:
        return True
    value = _found(older_forms(config), spec.listed or spec.within)
    if spec.listed:
        return _entry(value, spec) is not None
    value = value.get("name") if isinstance(value, Mapping) else value
    return (specs_by_path()[spec.within].default if value is _ABSENT else value) in spec.members


def put_at(config: dict[str, Any], spec: FieldSpec, value: Any) -> None:
    """Write a field's value into a configuration; a strategy's field only where that is what is chosen."""
    *owners, last = (spec.listed or spec.within or spec.path).split(".")
    part: Any = config
    for key in owners:
        part = part.setdefault(key, {})
        if not isinstance(part, dict):
            return
    if spec.listed:
        if not spec.within or _entry(part.get(last), spec) is not None:
            part[last] = _with(part.get(last), spec, value)
    elif not spec.within:
        named = isinstance(part.get(last), Mapping) and part[last].get("name") == value
        part[last] = part[last] if named else value  # the fields of the same choice stay with it
    else:
        chosen = part.get(last, specs_by_path()[spec.within].default)
        name = chosen.get("name") if isinstance(chosen, Mapping) else chosen
        if name in spec.members:
            part[last] = {"name": name, **(chosen if isinstance(chosen, Mapping) else {}), spec.name: value}


def labels_of(config: Mapping[str, Any]) -> list[str]:
    """The labels that a stored configuration's task tells apart; none where it is to go on with texts."""
    task = _found(config, "data.task")
    labels = task.get("labels") if isinstance(task, Mapping) else None
    return [str(label) for label in labels] if isinstance(labels, list) else []


def _found(config: Mapping[str, Any], path: str) -> Any:
    value: Any = config
    for key in path.split("."):
        value = value.get(key, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value


def _entry(value: Any, spec: FieldSpec) -> Mapping[str, Any] | None:
    """What a list of strategies says of the one that a field belongs to; None where it is not named."""
    entries = value if isinstance(value, list) else []
    full = [entry if isinstance(entry, Mapping) else {"name": entry} for entry in entries]
    return next((entry for entry in full if entry.get("name") in spec.members), None)


def _with(value: Any, spec: FieldSpec, new: Any) -> list[Any]:
    """A list of strategies with one named or not, or with a field of one that is named."""
    entry = _entry(value, spec)
    others = [one for one in (value if isinstance(value, list) else []) if _entry([one], spec) is None]
    if spec.within and entry is not None:
        return [*others, {**entry, spec.name: new}]
    return [*others, entry or {"name": spec.members[0]}] if new else others


def older_forms(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with its sections in the form that is written today, valid or not."""
    found = dict(config)
    for section, read in {"schedule": schedule_read, "wire": wire_read, "privacy": privacy_read}.items():
        with contextlib.suppress(ValueError):
            found |= {section: read(found[section])} if section in found else {}
    return found


def changed_paths(config: Mapping[str, Any]) -> list[str]:
    """Fields that differ from their defaults; what has no default does not count."""
    return [
        spec.path
        for spec in field_specs()
        if not spec.required and value_at(config, spec) != spec.default
        and spec.path not in ("model.revision", "model.manifest")
    ]  # fmt: skip
