"""The timeline in words: each event with its icon, tone, place and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from interface.statuses import status_look

_LOOKS = {
    "run.awaiting_approval": ("info", "file-text", "Submitted for approval"),
    "run.approved": ("success", "circle-check", "Approved by everyone"),
    "run.declined": ("danger", "ban", "Declined"),
    "run.draft": ("neutral", "pencil", "Back to draft"),
    "run.starting": ("info", "loader-2", "Starting"),
    "run.training": ("active", "player-play", "Training started"),
    "run.recovering": ("attention", "refresh", "Recovering"),
    "run.gave_way": ("info", "clock-pause", "Waiting for its turn"),
    "run.paused": ("attention", "player-pause", "Paused"),
    "run.finishing": ("info", "package", "Training done"),
    "run.done": ("success", "circle-check", "Done"),
    "run.failing": ("danger", "alert-triangle", "A part failed"),
    "run.failed": ("danger", "circle-x", "Failed"),
    "run.stopping": ("attention", "player-stop", "Stop requested"),
    "run.stopped": ("neutral", "square", "Stopped"),
    "run.released": ("info", "player-play", "One organisation lifted its hold"),
    "run.note": ("attention", "note", "Note"),
    "approval.approved": ("success", "user-check", "Approved"),
    "approval.declined": ("danger", "user-x", "Declined"),
    "policy.accepted": ("success", "shield-check", "Site policy accepts"),
    "policy.refused": ("danger", "shield-x", "Site policy refuses"),
    "job.unknown": ("attention", "versions", "Worker too old for a job"),
    "participant.claimed": ("info", "hand-grab", "Worker started its part"),
    "participant.dropped": ("attention", "plug-connected-x", "Worker stopped responding"),
    "participant.returned": ("success", "plug-connected", "Worker is back"),
    "participant.done": ("success", "circle-check", "Part done"),
    "participant.failed": ("danger", "circle-x", "Part failed"),
    "participant.stopped": ("neutral", "square", "Process ended"),
    "hub.returned": ("info", "server-2", "The hub is back"),
    "server.ready": ("info", "server-2", "Ready for connections"),
    "segment.stored": ("info", "upload", "Segment uploaded"),
    "adapter.joined": ("info", "puzzle", "Adapter joined"),
    "adapter.verified": ("success", "shield-check", "Adapter loads"),
    "checkpoint.saved": ("info", "device-floppy", "Checkpoint saved"),
    "checkpoint.resumed": ("success", "history", "Resumed from a checkpoint"),
    "checkpoint.ignored": ("attention", "file-broken", "Damaged checkpoint skipped"),
    "party.late": ("attention", "clock-exclamation", "Late for a step"),
    "rows.left_out": ("attention", "scissors", "Rows left out"),
    "values.not_finite": ("attention", "alert-triangle", "NaN or infinite values"),
    "stop.unconfirmed": ("danger", "alert-triangle", "Stop not confirmed"),
}


_SHARED = ("Checkpoint saved", "Resumed from a checkpoint")  # told by every organisation, of the same step


@dataclass(frozen=True)
class Entry:
    """One line of the timeline. `kind`: event, or phase, which is shown on demand alone."""

    seq: int
    kind: str
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
    """Event and phase records as entries, newest first; organisations that enter a phase together share a line."""
    entries: list[Entry] = []
    for entry in map(_entry, reversed(records)):
        place = _line_of(entry, entries)
        if place is None:
            entries.append(entry)
        else:
            entries[place] = _joined(entries[place], entry)
    return entries


def newest(entries: Iterable[Entry], limit: int) -> list[Entry]:
    """The newest events and, apart from them, the newest phases: many phases crowd out no event."""
    left = {"event": limit, "phase": limit}
    chosen = []
    for entry in entries:
        left[entry.kind] -= 1
        if left[entry.kind] >= 0:
            chosen.append(entry)
    return chosen


def _line_of(entry: Entry, entries: list[Entry]) -> int | None:
    """The line of the same phase (or checkpoint) and step since the last other event; None where there is none."""
    if entry.error or (entry.kind != "phase" and entry.title not in _SHARED):
        return None
    for place in range(len(entries) - 1, -1, -1):
        line = entries[place]
        if line.kind != "phase" and line.title not in _SHARED:
            return None
        if (line.title, line.step, line.detail) == (entry.title, entry.step, entry.detail) and not line.error:
            return place
    return None


def _joined(line: Entry, entry: Entry) -> Entry:
    names = line.organisation.split(", ")
    if not entry.organisation or entry.organisation in names:
        return line
    return replace(line, organisation=", ".join([*names, entry.organisation]))


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
        kind="phase" if record["kind"] == "phase" else "event",
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
