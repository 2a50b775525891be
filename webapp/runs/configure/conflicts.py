"""A conflict between two saves in the words of the form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from webapp.accounts.models import User
from webapp.runs.configure.forms import ConfigForm, to_text
from webapp.runs.configure.schema import field_specs
from webapp.runs.services.draft_versions import party_label

_LABELS = {
    "name": "Name",
    "note": "Note",
    "start_when_approved": "Start automatically once everyone has approved",
    "public_prompts": "Public prompts",
}


@dataclass(frozen=True)
class FieldConflict:
    """One field that somebody else changed: the saved value, the one in this form, who and when."""

    label: str
    theirs: str
    mine: str
    who: str
    at: datetime


def conflicts_read(details: Mapping[str, Any], form: ConfigForm, user: User) -> list[FieldConflict]:
    """The conflicts of a refused save; none where it was refused for something else."""
    return [
        FieldConflict(
            label=_label(item["path"], form),
            theirs=_text(item["path"], item["theirs"]),
            mine=_text(item["path"], item["mine"]),
            who="You, in another tab" if item["by_id"] == user.id else item["by"],
            at=datetime.fromisoformat(item["at"]),
        )
        for item in details.get("conflicts", [])
    ]


def _label(path: str, form: ConfigForm) -> str:
    if path in _LABELS:
        return _LABELS[path]
    if path.startswith("party."):
        return party_label(path)
    if path.startswith("parties."):
        titles = {one.party: one.title for one in form.parties}
        name = path.removeprefix("parties.")
        return f"Values of {titles.get(name, name)}"
    return next((spec.label for spec in field_specs() if spec.path == path), path)


def _text(path: str, value: Any) -> str:
    spec = next((spec for spec in field_specs() if spec.path == path), None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "empty"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items()) or "empty"
    return str(to_text(spec, value) if spec is not None else "" if value is None else value) or "empty"
