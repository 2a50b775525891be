"""Conditions of a run and its parts on which the next state depends."""

from __future__ import annotations

from webapp.runs.life.events import Event
from webapp.runs.life.recovering import MOST_IN_VAIN, in_vain
from webapp.runs.life.rows import Guard
from webapp.runs.models import ApprovalState, DesiredState, Participant, ParticipantRole, Run, half

QUARANTINE = "CL-1512"


def gone(participant: Participant) -> bool:
    """Whether a participant certainly has no process: it hasn't claimed its part yet, or has reported its exit."""
    waits = participant.attempt == 0 or (participant.awaits_claim and participant.stop_confirmed_at is not None)
    return bool(participant.outcome) or waits


def both(one: Guard, other: Guard) -> Guard:
    """True if both conditions hold."""

    def check(run: Run, event: Event) -> bool:
        return one(run, event) and other(run, event)

    check.__name__ = f"{one.__name__}, {other.__name__}"
    return check


def all_agree(run: Run, event: Event) -> bool:
    """Every organisation has approved the contract, and no worker refuses it or waits for its site."""
    current = run.approvals.filter(contract_hash=run.contract_hash)
    if current.exclude(state=ApprovalState.APPROVED).exists():
        return False
    return not any(part.refuses_contract or part.waits_for_site for part in run.participants.all())


def a_part_awaits_its_claim(run: Run, event: Event) -> bool:
    """A part that trains has to be claimed (again)."""
    return any(part.awaits_claim for part in run.participants.exclude(role=ParticipantRole.EVALUATOR))


def part_is_taken_up(run: Run, event: Event) -> bool:
    """The event's own part has been claimed: the event isn't from an older attempt."""
    return event.participant is not None and not event.participant.awaits_claim


def may_recover(run: Run, event: Event) -> bool:
    """The run is still wanted, and its last recoveries have led to new steps."""
    return run.desired in (DesiredState.RUNNING, DesiredState.PAUSED) and in_vain(run) <= MOST_IN_VAIN


def nobody_asked_for_the_stop(run: Run, event: Event) -> bool:
    """People want the run to continue."""
    return run.desired != DesiredState.STOPPED


def all_are_trained(run: Run, event: Event) -> bool:
    """Every part that trains is done."""
    return all(part.outcome == "done" for part in run.participants.exclude(role=ParticipantRole.EVALUATOR))


def no_process_is_left(run: Run, event: Event) -> bool:
    """Every claimed part has ended."""
    return not run.participants.filter(half(outcome=""), attempt__gt=0).exists()


def all_are_gone(run: Run, event: Event) -> bool:
    """Every worker has confirmed that its process is gone."""
    return all(gone(part) for part in run.participants.all())


def has_failed(run: Run, event: Event) -> bool:
    """A cause of failure is noted."""
    return bool(run.failure)


def is_held_for_another_reason(run: Run, event: Event) -> bool:
    """The run waits for people already, for something other than a quarantine."""
    known = run.failure or {}
    return bool(known) and known.get("code") != QUARANTINE


def ran_before_the_quarantine(run: Run, event: Event) -> bool:
    """Nothing but the quarantine has paused the run."""
    return bool((run.failure or {}).get("resumes"))
