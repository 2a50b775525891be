"""The version of the protocol that two ends share. No torch, no Django: the hub imports this module too.

Each end tells the newest version that it reads, in one header. A message is written in the older of the two, without
the fields that came later, so that bodies stay strict and either end may be upgraded first.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from splitcore.errors import AppError
from workers.contracts import OLDEST_PROTOCOL, PAYLOADS, PROTOCOL_VERSION, Since, TelemetryRecord

REFUSED_FORMS = ("CL-1407", "CL-1415")  # what an older hub says of a field that it does not know


def told_version(text: str | None) -> int | None:
    """The version in a header; None where none is told, as by everything that was made before version 3."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 6 else None


def message_form(message: BaseModel, version: int) -> dict[str, Any]:
    """A message as an end of this version knows it. One that names its version names this one."""
    values = _known(message, message.model_dump(mode="json"), version)
    if "protocol" in values:
        values["protocol"] = version
    return values


def message_json(message: BaseModel, version: int) -> bytes:
    """The same as JSON."""
    if version >= PROTOCOL_VERSION:
        return message.model_dump_json().encode()
    return json.dumps(message_form(message, version), separators=(",", ":"), ensure_ascii=False).encode()


def _known(message: BaseModel, values: dict[str, Any], version: int) -> dict[str, Any]:
    """Leave out, at every depth, the fields that are newer than `version`."""
    names = _names(type(message), version)
    kept = {name: _known_within(getattr(message, name), values[name], version) for name in names}
    if isinstance(message, TelemetryRecord):
        inner = _names(PAYLOADS[message.kind], version)
        kept["payload"] = {name: value for name, value in values["payload"].items() if name in inner}
    return kept


def _names(model: type[BaseModel], version: int) -> list[str]:
    """The fields that an end of this version knows."""
    marks = {
        name: [mark.version for mark in field.metadata if isinstance(mark, Since)]
        for name, field in model.model_fields.items()
    }
    return [name for name, since in marks.items() if max(since, default=0) <= version]


def _known_within(value: Any, written: Any, version: int) -> Any:
    if isinstance(value, BaseModel):
        return _known(value, written, version)
    if isinstance(value, list):
        return [_known_within(entry, text, version) for entry, text in zip(value, written, strict=True)]
    return written


def too_old_worker(worker: int, *, hub_oldest: int, hub_newest: int, release: str) -> AppError:
    """The hub reads nothing so old any more."""
    return AppError(
        "CL-1407",
        f"The worker supports protocol versions up to {worker}, the hub {hub_oldest} to {hub_newest}.",
        f"Install Cutlayer {release} on the worker and restart it. Until then it keeps its reports.",
        details={"hub_oldest": hub_oldest, "hub_newest": hub_newest},
    )


def too_old_hub(message: int, *, hub_oldest: int, hub_newest: int) -> AppError:
    """The message is written in a version that the hub does not know yet."""
    return AppError(
        "CL-1407",
        f"The worker wrote protocol version {message}, but the hub supports {hub_oldest} to {hub_newest}.",
        "A newer worker retries in a version the hub supports. If that doesn't help, upgrade the hub.",
        details={"hub_oldest": hub_oldest, "hub_newest": hub_newest},
    )


def worker_mismatch(hub_oldest: int, hub_newest: int) -> AppError:
    """What a worker's people read when hub and worker share no version: both ranges, and whom to upgrade."""
    late = "the worker" if hub_oldest > PROTOCOL_VERSION else "the hub"
    return AppError(
        "CL-1407",
        f"This worker supports protocol versions {OLDEST_PROTOCOL} to {PROTOCOL_VERSION}, the hub "
        f"{hub_oldest} to {hub_newest}.",
        f"Upgrade Cutlayer on {late}. Until then the worker keeps its reports, and runs in progress continue.",
        details={"hub_oldest": hub_oldest, "hub_newest": hub_newest},
    )


def no_shared_version(details: dict[str, Any]) -> AppError | None:
    """The same of a hub's refusal, where the versions that it names have none in common with ours."""
    oldest, newest = details.get("hub_oldest"), details.get("hub_newest")
    if oldest is None or newest is None or (oldest <= PROTOCOL_VERSION and newest >= OLDEST_PROTOCOL):
        return None
    return worker_mismatch(oldest, newest)
