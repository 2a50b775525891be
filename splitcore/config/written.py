"""How a configuration is written where others read it: in the oldest schema that can say it (torch-free).

A contract and what two halves show of themselves carry it. A worker that is older than the hub thus reads every run
that uses nothing newer, and both compute the same hash. The defaults of each schema are frozen in
`schemas/<number>.json`: what a configuration leaves out means in each version what it meant when it was written.

    1  every field, defaults included; the fields of all schedules side by side, under the name `mode`
    2  what differs from the defaults alone; strategies with all fields of their own
    3  the task of the rows
    4  masked sums; every defence but `gaussian`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from splitcore.config.run import RunConfig, canonical_json
from splitcore.errors import AppError
from splitcore.fields import FULL

NEWEST = 4
_MODES = ("parallel", "sequential", "splitfed_v1", "personalised")


def written(config: RunConfig) -> tuple[int, dict[str, Any]]:
    """The number of the schema, and the configuration in its one normal form."""
    # who wrote in an earlier schema knew plain sums alone, so there is nothing to say of them
    sums = config.privacy.sums if config.privacy.masks_sums else "automatic"
    config = config.model_copy(update={"privacy": config.privacy.model_copy(update={"sums": sums})})
    first = _schema_1(config)
    if first is not None:
        return 1, first
    return _schema(config), config.model_dump(mode="json", exclude_defaults=True, context=FULL)


def _schema(config: RunConfig) -> int:
    """The oldest schema with every field that differs from its default, where that is not the first."""
    return max(
        NEWEST if config.privacy.masks_sums else 2,
        2 if _is_default(config, "data", "task") else 3,
        *(strategy.since for strategy in config.cut_strategies),
    )


def config_read(data: Any, schema: int) -> RunConfig:
    """The configuration that `written` gave, here or in an older version. Raises AppError CL-1001, CL-1008."""
    schema_check(schema)
    return RunConfig.parse(_with_defaults(schema, data) if isinstance(data, Mapping) else data)


def schema_check(schema: int) -> None:
    """Refuse what a newer version wrote. Raises AppError CL-1008."""
    if not 1 <= schema <= NEWEST:
        message = f"The configuration has schema {schema}, but this version only reads schemas up to {NEWEST}."
        raise AppError("CL-1008", message, details={"schema": schema, "newest": NEWEST})


def config_hash(config: RunConfig) -> str:
    """SHA-256 of the canonical JSON of a configuration as it is written."""
    return hashlib.sha256(canonical_json(written(config)[1]).encode()).hexdigest()


def frozen_defaults(schema: int) -> dict[str, Any]:
    """What the fields of a schema are where a configuration says nothing."""
    found: dict[str, Any] = deepcopy(_frozen(schema))
    return found


@cache
def _frozen(schema: int) -> Any:
    return json.loads((Path(__file__).with_name("schemas") / f"{schema}.json").read_text())


def _with_defaults(schema: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of `data`, completed; a strategy is named as a whole, and completes itself."""
    merged = frozen_defaults(schema)
    for section, given in data.items():
        own = merged.get(section)
        takes = isinstance(given, Mapping) and not {"name", "mode"} & given.keys()
        merged[section] = {**own, **given} if isinstance(own, dict) and takes else given
    return merged


def _schema_1(config: RunConfig) -> dict[str, Any] | None:
    """The configuration as schema 1 says it; None where it uses what that does not know."""
    schedule, wire = config.schedule, config.wire
    if schedule.name not in _MODES or wire.activations.rounds() != "nearest":
        return None
    found, full = frozen_defaults(1), config.model_dump(mode="json")
    full["schedule"] = {"mode": schedule.name, **schedule.model_dump(context=FULL)}
    del full["schedule"]["name"]
    formats = {"activations": wire.activations.name, "gradients": wire.gradients.name}
    full["wire"] |= formats | {"gradient_rounding": wire.gradients.rounds()}
    if config.methods:
        return None
    del full["methods"]
    for section, part in full.items():
        known = found.get(section, {})
        newer = set(part) - set(known) if section != "parties" else set()
        if not all(_is_default(config, section, name) for name in newer):
            return None
        known |= {name: value for name, value in part.items() if name not in newer}
    return found


def _is_default(config: RunConfig, section: str, name: str) -> bool:
    part = getattr(config, section)
    return bool(getattr(part, name) == type(part).model_fields[name].default)
