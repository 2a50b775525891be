"""The state of a run as a live page shows it: the run's own fields and a lane for each participant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interface.statuses import status_look
from webapp.jobs.selectors import processes_gone
from webapp.orgs.selectors import organisation_ids_of
from webapp.runs.models import ParticipantRole, Run

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.accounts.models import User

_RUN_FIELDS = ("id", "name", "state", "desired", "step", "total_steps", "failure", "summary")
_RUN_TIMES = ("state_since", "started_at", "training_at", "ended_at")


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def run_json(run: Run) -> dict[str, Any]:
    """The run's own fields."""
    values = {name: getattr(run, name) for name in _RUN_FIELDS}
    times = {name: _iso(getattr(run, name)) for name in _RUN_TIMES}
    return {**values, **times, "state_label": run.get_state_display()}


def lanes_json(*, user: User, run: Run) -> list[dict[str, Any]]:
    """A lane for each participant. `place` gives each its own mark, also where an organisation has several parts."""
    own = set(organisation_ids_of(user))
    lanes = []
    parts = list(run.participants.select_related("organisation", "worker"))
    measured = processes_gone([part.id for part in parts if part.role == ParticipantRole.EVALUATOR], kind="evaluate")
    for place, part in enumerate(parts):
        mine = part.organisation_id in own
        lanes.append(
            {
                "participant_id": part.id,
                "party": part.party,
                "role": part.role,
                "organisation": part.organisation.name,
                "organisation_id": part.organisation_id,
                "place": place,
                "mine": mine,
                "worker": part.worker.name,
                "phase": part.phase,
                "phase_label": status_look(part.phase).label,
                "phase_since": _iso(part.phase_since),
                "step": part.step,
                "attempt": part.attempt,
                "last_beat_at": _iso(part.last_beat_at),
                "outcome": part.outcome,
                "error": part.error if mine else _shared_error(part.error),
                "stop_confirmed_at": _iso(part.stop_confirmed_at or measured.get(part.id)),
                "metrics": part.metrics,
            }
        )
    return lanes


def _shared_error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """A partner's error: code, sentence and remedy; where in its code it happened stays its own."""
    return {**error, "where": ""} if error else None


def state_json(*, user: User, run: Run) -> dict[str, Any]:
    """Run and lanes together."""
    return {"run": run_json(run), "lanes": lanes_json(user=user, run=run)}
