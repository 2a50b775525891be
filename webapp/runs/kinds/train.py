"""`train`: a part's own half. It is requested with the part, begins with a claim, and its end moves the run."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from django.db.models import Q

from splitcore.errors import AppError, ErrorRole, role_of
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.jobs.services import TRAIN, job_progress, job_request
from webapp.runs.fencing import attempt_adopt, attempt_check, fence, part_lock, started_check
from webapp.runs.kinds.kind import HubKind, Offer
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Event, Happening
from webapp.runs.life.failing import failure
from webapp.runs.life.parts import part_end, part_interrupt, part_take_up
from webapp.runs.models import DesiredState, Participant, ParticipantRole, Run, RunState, half
from webapp.runs.states import LIVE, TRAINS
from webapp.runs.timeline import error_info, run_announce, timeline_event
from webapp.runs.turns import has_turn, next_turn
from workers.contracts import Claim, ClaimReply, Desired, ErrorInfo, Exit, HubEvent, Message

if TYPE_CHECKING:
    from webapp.jobs.models import Job

# What a part's failure is to the run, by what its error means.
_BY_ROLE = {
    ErrorRole.CAUSE: Happening.PART_FAILED,
    ErrorRole.CONSEQUENCE: Happening.PART_LOST,
    ErrorRole.RECOVERABLE: Happening.PART_LOST,
    ErrorRole.HOLD: Happening.PART_HELD,
}


class Train(HubKind):
    """Wanted of a part as long as the run is, and until its process has confirmed its end."""

    name: ClassVar[str] = TRAIN
    wanted_in: ClassVar[Collection[RunState]] = LIVE | {RunState.FAILED, RunState.STOPPED}

    def listed(self) -> Q:
        """The half is wanted, or may still have a process that has to confirm its end."""
        wanted = Q(run__state=RunState.FINISHING) | Q(run__desired__in=[DesiredState.RUNNING, DesiredState.PAUSED])
        return super().listed() & (wanted | half(ended_at=None) & Q(attempt__gt=0))

    def offer(self, part: Participant, job: Job) -> Offer | None:
        """Where the others are, and by what they are known. Not while older runs wait for the worker."""
        may_run = part.run.state == RunState.FINISHING or (part.attempt > 0 and part.stop_confirmed_at is None)
        if not may_run and not _is_due(part):
            return None
        parts = list(part.run.participants.select_related("worker"))
        server = next((p for p in parts if p.role == ParticipantRole.SERVER), None)
        clients = [p for p in parts if p.role == ParticipantRole.CLIENT]
        return Offer(
            Desired(part.run.desired),
            {
                "server_address": server.address if server else "",
                "server_attempt": server.attempt if server else 0,
                "client_attempts": {p.party: max(p.attempt, p.wanted_attempt) for p in clients},
                "certificates": [p.worker.certificate_pem for p in parts],
            },
        )

    def finish(self, part: Participant, job: Job, told: Message) -> None:
        """Record that a half's process is gone. Repeating it changes nothing; an older attempt's is refused.

        So is an evaluator's, for which an older hub may have kept a half (CL-1504).
        """
        assert isinstance(told, Exit)
        run = part.run
        if part.role == ParticipantRole.EVALUATOR:
            raise AppError("CL-1504")
        started_check(run, part, told.attempt)
        attempt_adopt(run, part, told.attempt)
        fence(part, told.attempt)
        told_before = part.awaits_claim and part.stop_confirmed_at is not None
        if part.outcome or (told_before and not _is_own_failure(told)):
            return
        phase_before = part.phase
        interrupted = part.awaits_claim and run.state in TRAINS and not _is_own_failure(told)
        step = told.checkpoint_step
        if step is not None and step <= (run.total_steps or step):  # one beyond the run's steps is no checkpoint of it
            job_progress(job, number=told.attempt, checkpoint_step=step)
        (part_interrupt if interrupted else part_end)(part, told.outcome, told.error)
        words = f"The process of {part.worker.name} ended."
        timeline_event(run, HubEvent(f"participant.{told.outcome}"), words, error=told.error, participant=part)
        if not interrupted:
            _after_exit(run, part, told, phase_before)
        next_turn(part)
        run_announce(run)


def _is_due(part: Participant) -> bool:
    """Whether a part may be taken up: not while older runs wait for the worker, nor anew while the run is paused."""
    held = part.run.state == RunState.PAUSED and part.awaits_claim
    return not held and has_turn(part)


def train_request(part: Participant) -> None:
    """Ask for a part's half: of every part but an evaluator's, as soon as it is there."""
    if part.role != ParticipantRole.EVALUATOR:
        job_request(participant_id=part.id, kind=TRAIN)


@service
def participant_claim(*, worker: Worker, run_id: str, claim: Claim) -> ClaimReply:
    """Give a job its part and the next attempt number; every message of an older one is refused from here on."""
    run, participant = part_lock(worker, run_id, claim.participant_id)
    if claim.contract_hash != run.contract_hash:
        raise AppError("CL-1502")
    run_apply(run, Event(Happening.PART_CLAIMED, participant=participant))
    if participant.outcome or participant.role == ParticipantRole.EVALUATOR:
        raise AppError("CL-1504")
    if not has_turn(participant):
        raise AppError("CL-1511")
    attempt = max(participant.attempt, participant.wanted_attempt - 1, claim.highest_attempt) + 1
    attempt_check(participant, attempt)
    part_take_up(participant, attempt)
    next_turn(participant)
    timeline_event(
        run,
        HubEvent.PARTICIPANT_CLAIMED,
        f"{worker.name} started its part (attempt {participant.attempt}).",
        participant=participant,
    )
    run_announce(run)
    return ClaimReply(attempt=participant.attempt, desired=Desired(run.desired))


def _is_own_failure(exit_: Exit) -> bool:
    """Whether a process that was to end anyway names a trouble that the next attempt would meet again."""
    return exit_.outcome == "failed" and exit_.error is not None and role_of(exit_.error.code) is ErrorRole.CAUSE


def _after_exit(run: Run, participant: Participant, exit_: Exit, phase_before: str) -> None:
    """What a part's end is to the run, and that one process less is left."""
    if exit_.outcome == "done":
        run_apply(run, Event(Happening.PART_DONE, participant=participant))
    else:
        happening, error = _trouble(exit_)
        run_apply(run, failure(run, happening, error, participant=participant, phase=phase_before))
    run_apply(run, Event(Happening.PROCESS_GONE, participant=participant))


def _trouble(exit_: Exit) -> tuple[Happening, ErrorInfo]:
    if exit_.outcome == "stopped":
        return Happening.PART_STOPPED, exit_.error or error_info("CL-1508")
    error = exit_.error or error_info("CL-1999")
    return _BY_ROLE[role_of(error.code)], error
