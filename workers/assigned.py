"""Reading the hub's list entry by entry: one that breaks the form hides none of the others."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import TypeAdapter, ValidationError

from splitcore.bounds import Short
from workers.contracts import ASSIGNMENTS, Assignment, Assignments

log = logging.getLogger(__name__)
_ID: TypeAdapter[str] = TypeAdapter(Short)


def assignments_read(data: dict[str, Any]) -> Assignments:
    """The hub's list without the entries that cannot be read. Raises ValidationError where it is no list at all.

    Whose those entries are is noted, as far as they tell it: what runs for them is left alone.
    """
    entries = data.get("assignments")
    if not isinstance(entries, list):
        return Assignments.model_validate(data)
    read: list[Assignment] = []
    unread: list[str] = []
    for entry in entries[:ASSIGNMENTS]:
        try:
            read.append(Assignment.model_validate(entry))
        except ValidationError as error:
            places = sorted({".".join(str(part)[:40] for part in problem["loc"]) for problem in error.errors()})
            log.error("an entry of the hub's list is malformed: %s", ", ".join(places[:5]))
            unread += _owner(entry)
    return Assignments.model_validate({**data, "assignments": read, "unread": unread})


def _owner(entry: Any) -> list[str]:
    """The participant that an unreadable entry names, if it names one."""
    try:
        return [_ID.validate_python(entry.get("participant_id"))] if isinstance(entry, dict) else []
    except ValidationError:
        return []
