"""The timeline in words: each event with its icon, tone, place and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interface.statuses import status_look

_LOOKS = {
    "run.awaiting_approval": ("info", "file-text", "Submitted for approval"),
    "run.approved": ("success", "circle-check", "Approved by everyone"),
    "run.declined": ("danger", "ban", "Declined"),
    "run.draft": ("neutral", "pencil", "Back to draft"),
    "run.starting": ("info", "loader-2", "Starting"),
    "run.training": ("active", "player-play", "Training started"),
    "run.paused": ("attention", "player-pause", "Paused"),
    "run.finishing": ("info", "package", "Training done"),
    "run.done": ("success", "circle-check", "Done"),
    "run.failing": ("danger", "alert-triangle", "Something failed"),
    "run.failed": ("danger", "circle-x", "Failed"),
    "run.stopping": ("attention", "player-stop", "Stop requested"),
    "run.stopped": ("neutral", "square", "Stopped"),
    "run.note": ("attention", "note", "Note"),
    "approval.approved": ("success", "user-check", "Approved"),
    "approval.declined": ("danger", "user-x", "Declined"),
    "policy.accepted": ("success", "shield-check", "Site policy accepts"),
    "policy.refused": ("danger", "shield-x", "Site policy refuses"),
    "participant.claimed": ("info", "hand-grab", "Part taken up"),
    "participant.dropped": ("attention", "plug-connected-x", "Went silent"),
    "participant.returned": ("success", "plug-connected", "Back again"),
    "participant.done": ("success", "circle-check", "Part done"),
    "participant.failed": ("danger", "circle-x", "Part failed"),
    "participant.stopped": ("neutral", "square", "Process gone"),
    "server.ready": ("info", "server-2", "Ready for connections"),
    "segment.stored": ("info", "upload", "Segment uploaded"),
    "adapter.joined": ("info", "puzzle", "Adapter joined"),
    "adapter.verified": ("success", "shield-check", "Adapter loads"),
    "checkpoint.saved": ("info", "device-floppy", "Checkpoint saved"),
    "stop.unconfirmed": ("danger", "alert-triangle", "Stop not confirmed"),
}


@dataclass(frozen=True)
class Entry:
    """One line of the timeline."""

    seq: int
    at: str
    step: int | None
    title: str
    detail: str
    tone: str
    icon: str
    party: str
    organisation: str
    error: dict[str, Any] | None


def entries_of(records: list[dict[str, Any]]) -> list[Entry]:
    """Event and phase records as entries, newest first."""
    return [_entry(record) for record in reversed(records)]


def _entry(record: dict[str, Any]) -> Entry:
    payload = record["payload"]
    if record["kind"] == "phase":
        look = status_look(payload["phase"])
        tone, icon, title = look.tone, look.icon, look.label
    else:
        name = str(payload["name"])
        known = _LOOKS.get(name)
        tone, icon, title = known or ("neutral", "point", name.replace(".", " ").replace("_", " ").capitalize())
    error = payload.get("error")
    return Entry(
        seq=record["seq"],
        at=record["at"],
        step=record["step"],
        title=title,
        detail=str(payload.get("detail") or ""),
        tone="danger" if error and tone == "neutral" else tone,
        icon=icon,
        party=record["party"],
        organisation=record["organisation"],
        error=error,
    )
