"""The live checklist of an enrolment: what has happened, what comes next, and who does it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from webapp.fleet.facts import doctor, online, version
from webapp.fleet.models import EnrolmentToken, WorkerState


@dataclass(frozen=True)
class Step:
    """One line of the checklist."""

    name: str
    status: str  # ok | pending | warning | failed
    detail: str


def token_state(token: EnrolmentToken) -> str:
    """used, revoked, expired or open."""
    if token.used_at is not None:
        return "used"
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at < timezone.now() else "open"


def steps_of(token: EnrolmentToken) -> list[Step]:
    """The steps from the token to a worker that can be given work."""
    worker = token.worker
    if worker is None:
        words = {
            "open": ("pending", "Waiting for the command to be run on the worker's machine."),
            "expired": ("failed", "The token expired before it was used. Create a new one."),
            "revoked": ("failed", "The token was revoked before it was used."),
        }
        status, detail = words.get(token_state(token), words["open"])
        waiting = ["Fingerprint", "Connection", "Version", "Doctor"]
        return [Step("Token redeemed", status, detail), *(Step(name, "pending", "") for name in waiting)]
    confirmed = worker.confirmed_at is not None
    seen, runs, checks = online(worker), version(worker), doctor(worker)
    fingerprint = "Confirmed." if confirmed else "Compare it with the worker's terminal, then confirm below."
    shut_out = worker.state not in (WorkerState.ACTIVE, WorkerState.PENDING)
    return [
        Step("Token redeemed", "ok", "The worker created its key and joined."),
        Step("Fingerprint", "ok" if confirmed else "pending", fingerprint),
        Step(
            "Connection",
            "ok" if seen.state == "online" else "failed" if shut_out else "pending",
            seen.remedy or seen.word,
        ),
        Step("Version", runs.state if runs.state != "unknown" else "pending", runs.detail or runs.word),
        Step("Doctor", checks.state if checks.state != "unknown" else "pending", checks.word),
    ]


def is_finished(token: EnrolmentToken) -> bool:
    """Whether the worker can be given work."""
    return token.worker is not None and all(step.status in ("ok", "warning") for step in steps_of(token))
