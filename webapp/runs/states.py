"""The state machine of a run: which move is allowed, and the one function that makes it."""

from __future__ import annotations

from django.utils import timezone

from splitcore.errors import AppError
from webapp.core.live import notify_org, notify_run
from webapp.runs.models import Participant, Run, RunState
from webapp.runs.timeline import timeline_event
from workers.contracts import ErrorInfo

S = RunState
ALLOWED: dict[RunState, frozenset[RunState]] = {
    S.DRAFT: frozenset({S.AWAITING}),
    S.AWAITING: frozenset({S.APPROVED, S.DECLINED, S.DRAFT, S.STOPPED}),
    S.DECLINED: frozenset({S.DRAFT}),
    S.APPROVED: frozenset({S.STARTING, S.DRAFT, S.STOPPED}),
    S.STARTING: frozenset({S.TRAINING, S.RECOVERING, S.PAUSED, S.FINISHING, S.STOPPING}),
    S.TRAINING: frozenset({S.PAUSED, S.RECOVERING, S.FINISHING, S.STOPPING}),
    S.RECOVERING: frozenset({S.TRAINING, S.PAUSED, S.FINISHING, S.STOPPING}),
    S.PAUSED: frozenset({S.TRAINING, S.RECOVERING, S.FINISHING, S.STOPPING}),
    S.FINISHING: frozenset({S.DONE, S.FAILED, S.STOPPING}),
    S.STOPPING: frozenset({S.STOPPED, S.FAILED}),
    S.DONE: frozenset(),
    S.FAILED: frozenset({S.RECOVERING}),
    S.STOPPED: frozenset({S.RECOVERING}),
}
EDITABLE = frozenset({S.DRAFT, S.AWAITING, S.APPROVED, S.DECLINED})
TRAINS = frozenset({S.STARTING, S.TRAINING, S.RECOVERING, S.PAUSED})  # the halves are wanted
LIVE = TRAINS | {S.FINISHING, S.STOPPING}
ENDED = frozenset({S.DONE, S.FAILED, S.STOPPED})


def can_move(run: Run, to: RunState) -> bool:
    """Whether a run may go from where it stands to `to`."""
    return to in ALLOWED[RunState(run.state)]


def run_move(
    run: Run,
    to: RunState,
    *,
    detail: str = "",
    participant: Participant | None = None,
    error: ErrorInfo | None = None,
) -> None:
    """Move a locked run, note it on the timeline and ring the browsers. Raises CL-1501 where it is not allowed."""
    if not can_move(run, to):
        raise AppError("CL-1501", f"The run is {run.get_state_display().lower()}; it cannot become {to.label.lower()}.")
    now = timezone.now()
    run.state, run.state_since = to, now
    if to == S.STARTING:
        run.started_at = now
    if to == S.TRAINING and run.training_at is None:
        run.training_at = now
    run.ended_at = now if to in ENDED else None
    run.save(update_fields=["state", "state_since", "started_at", "training_at", "ended_at", "updated_at"])
    timeline_event(run, f"run.{to.value}", detail, participant=participant, error=error)
    run_announce(run)


def run_announce(run: Run) -> None:
    """Ring whoever looks at the run or at the lists of an organisation in it."""
    notify_run(run.id, run.record_count)
    organisations = {run.organisation_id, *run.participants.values_list("organisation_id", flat=True)}
    for organisation_id in organisations:
        notify_org(organisation_id, "run", run.id)
