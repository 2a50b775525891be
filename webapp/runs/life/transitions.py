"""The table of a run's life: what each event does in each state. People, workers and the clock all go through it.

For states that an event's line doesn't list, the line's default applies: refused or ignored. `apply.py` looks
the table up; docs/architecture.md shows it.
"""

from __future__ import annotations

from collections.abc import Iterable

from webapp.runs.life import effects as do
from webapp.runs.life import guards as when
from webapp.runs.life.events import Happening
from webapp.runs.life.rows import IGNORED, Cell, Guard, Ignored, Refused, Row, Words
from webapp.runs.models import RunState
from webapp.runs.states import ENDED, LIVE, TRAINS

S, H = RunState, Happening
Line = dict[RunState, Cell]
STAYS = (Row(),)


def line(default: Refused | Ignored, *cells: tuple[Iterable[RunState], Cell]) -> Line:
    """What an event does in every state: the cell's entry, or the default."""
    found: Line = dict.fromkeys(RunState, default)
    for states, cell in cells:
        found |= dict.fromkeys(states, cell)
    return found


def says(text: str) -> Words:
    """A fixed text."""
    return lambda run, event: text


# A failure: the cause is noted and all workers are asked to stop; the run has failed when their processes are gone.
def _fails(*, guard: Guard | None = None) -> tuple[tuple[Iterable[RunState], Cell], ...]:
    at_once = when.no_process_is_left if guard is None else when.both(guard, when.no_process_is_left)
    rest = () if guard is None else STAYS
    stop = Row(
        S.STOPPING,
        when=guard,
        before=(do.note_cause,),
        words=do.error_words,
        after=(do.want_stopped, do.free_unclaimed_parts),
        then=H.PROCESS_GONE,
    )
    end = Row(S.FAILED, when=at_once, before=(do.note_cause, do.want_stopped), words=do.error_words)
    return (
        (TRAINS, (stop, *rest)),
        ((S.FINISHING,), (end, stop, *rest)),
        ((S.STOPPING,), (Row(when=guard, before=(do.note_cause,)), *rest)),
    )


_NO_USE = Refused(code="CL-1504")
_FAIL = _fails()
_STOP_ALL = _FAIL[0][1]
assert isinstance(_STOP_ALL, tuple)
_RUNNING = (S.STARTING, S.TRAINING, S.RECOVERING)
_BACK_TO_DRAFT = (Row(S.DRAFT, before=(do.void_approvals,), after=(do.tell_of_withdrawal,)),)
_APPROVE = (
    Row(
        S.APPROVED,
        when=when.all_agree,
        before=(do.keep_approved_contract,),
        words=says("Every organisation has approved the contract."),
    ),
    Row(),
)


def _goes_on(to: RunState, guard: Guard | None) -> Row:
    return Row(
        to,
        when=guard,
        demands=(do.parties_are_available,),
        before=(do.forget_failure,),
        after=(do.want_running,),
    )


_CONTINUE = (
    Row(
        S.RECOVERING,
        demands=(do.parties_are_available, do.checkpoints_are_kept),
        before=(do.begin_again, do.renew_parts),
        words=do.resumption_words,
        after=(do.want_running,),
    ),
)
_RECOVER = (do.count_recovery, do.renew_parts)
_RECOVER_UNSEEN = Row(when=when.may_recover, before=_RECOVER, after=(do.tell_recovering, do.want_as_before))

PEOPLE: dict[Happening, Line] = {
    H.SUBMITTED: line(
        Refused("Only a draft can be submitted."),
        ((S.DRAFT,), (Row(S.AWAITING, after=(do.ask_for_verdicts,)),)),
    ),
    H.CHANGED: line(
        Refused("A run that has started can't be changed.", "Clone it, and change the clone."),
        ((S.DRAFT,), IGNORED),
        ((S.AWAITING, S.APPROVED, S.DECLINED), _BACK_TO_DRAFT),
    ),
    H.AGREED: line(Refused("The run is not waiting for approval."), ((S.AWAITING,), _APPROVE)),
    H.DECLINED: line(Refused("The run is not waiting for approval."), ((S.AWAITING,), (Row(S.DECLINED),))),
    H.STARTED: line(
        Refused("Only an approved run can be started."),
        (
            (S.APPROVED,),
            (
                Row(
                    S.STARTING,
                    demands=(do.parties_are_available, do.no_part_refuses),
                    words=says("Workers have been asked to start their parts."),
                    after=(do.want_running,),
                ),
            ),
        ),
    ),
    H.PAUSED: line(
        Refused("The run is {state}; it cannot become paused."), (_RUNNING, (Row(S.PAUSED, after=(do.want_paused,)),))
    ),
    H.RESUMED: line(
        Refused("Only a paused, stopped or failed run can be resumed."),
        ((S.PAUSED,), (_goes_on(S.RECOVERING, when.a_part_awaits_its_claim), _goes_on(S.TRAINING, None))),
        ((S.FAILED, S.STOPPED), _CONTINUE),
    ),
    H.STOPPED: line(
        Refused("The run is {state}; it cannot become stopping."),
        (
            (S.AWAITING, S.APPROVED),
            (Row(S.STOPPED, before=(do.want_nothing_more,), after=(do.tell_of_withdrawal,)),),
        ),
        (
            (*TRAINS, S.FINISHING),
            (Row(S.STOPPING, after=(do.want_stopped, do.free_unclaimed_parts), then=H.PROCESS_GONE),),
        ),
        ((S.STOPPING,), IGNORED),
    ),
    H.ARCHIVED: line(
        Refused("A run in progress can't be archived.", "Stop it first."),
        ((*ENDED, S.DRAFT, S.DECLINED), STAYS),
    ),
    H.DELETED: line(
        Refused("Only a draft can be deleted.", "Archive the run instead."),
        ((S.DRAFT,), STAYS),
    ),
    H.PARTY_WITHDRAWN: line(IGNORED, ((S.AWAITING, S.APPROVED), _BACK_TO_DRAFT)),
    H.WORKER_QUARANTINED: line(
        IGNORED,
        (
            _RUNNING,
            (
                Row(
                    S.PAUSED,
                    before=(do.note_quarantine,),
                    words=do.error_words,
                    signed=True,
                    after=(do.want_paused,),
                ),
            ),
        ),
        (
            (S.PAUSED,),
            (
                Row(when=when.is_held_for_another_reason, after=(do.tell_held,)),
                Row(before=(do.note_quarantine,), after=(do.tell_held, do.announce, do.want_paused)),
            ),
        ),
    ),
    H.WORKER_RELEASED: line(
        IGNORED,
        (
            (S.PAUSED,),
            (
                _goes_on(S.RECOVERING, when.both(when.ran_before_the_quarantine, when.a_part_awaits_its_claim)),
                _goes_on(S.TRAINING, when.ran_before_the_quarantine),
                Row(before=(do.forget_failure,), after=(do.tell_still_paused, do.announce)),
            ),
        ),
    ),
    H.RELEASE_REFUSED: line(
        IGNORED, ((S.PAUSED,), (Row(before=(do.forget_failure,), after=(do.tell_released, do.announce)),))
    ),
    H.WORKER_SHUT_OUT: line(IGNORED, *_FAIL),
}

WORKERS: dict[Happening, Line] = {
    H.PART_CLAIMED: line(_NO_USE, (LIVE, (Row(demands=(do.parts_are_wanted,)),))),
    H.SERVER_READY: line(_NO_USE, (TRAINS, STAYS), ((S.FINISHING, S.STOPPING, *ENDED), IGNORED)),
    H.FILE_BROUGHT: line(_NO_USE, ((*TRAINS, S.FINISHING), STAYS)),
    H.ADAPTER_CHECKED: line(IGNORED, ((S.FINISHING,), STAYS)),
    H.POLICY_JUDGED: line(IGNORED, ((S.AWAITING,), _APPROVE)),
    H.STEP_DONE: line(
        IGNORED,
        ((S.STARTING,), (Row(S.TRAINING, words=says("The first step is complete.")),)),
        (
            (S.RECOVERING,),
            (Row(S.TRAINING, when=when.part_is_taken_up, words=says("The run continues.")), Row()),
        ),
    ),
    H.PART_DONE: line(
        IGNORED,
        (
            TRAINS,
            (
                Row(
                    S.FINISHING,
                    when=when.all_are_trained,
                    words=says("Training is complete. The segments are being joined."),
                    after=(do.ring_join,),
                ),
                Row(),
            ),
        ),
    ),
    H.PART_LOST: line(
        IGNORED,
        *_FAIL,
        (
            (S.STARTING, S.TRAINING),
            (
                Row(
                    S.RECOVERING,
                    when=when.may_recover,
                    before=_RECOVER,
                    words=do.recovery_words,
                    signed=True,
                    after=(do.want_as_before,),
                ),
                *_STOP_ALL,
            ),
        ),
        ((S.RECOVERING, S.PAUSED), (_RECOVER_UNSEEN, *_STOP_ALL)),
    ),
    H.PART_HELD: line(
        IGNORED,
        *_FAIL,
        (
            _RUNNING,
            (
                Row(
                    S.PAUSED,
                    before=(do.note_hold, do.renew_parts),
                    words=do.error_words,
                    signed=True,
                    after=(do.want_paused,),
                ),
            ),
        ),
        ((S.PAUSED,), (Row(before=(do.note_hold, do.renew_parts), after=(do.want_paused,)),)),
    ),
    H.PART_FAILED: line(IGNORED, *_FAIL),
    H.PART_STOPPED: line(IGNORED, *_fails(guard=when.nobody_asked_for_the_stop)),
    H.PROCESS_GONE: line(
        IGNORED,
        (
            (S.STOPPING,),
            (
                Row(S.FAILED, when=when.both(when.all_are_gone, when.has_failed), words=do.failure_words),
                Row(
                    S.STOPPED,
                    when=when.all_are_gone,
                    words=says("Every worker has confirmed that its process ended."),
                ),
                Row(),
            ),
        ),
    ),
    H.CHECK_FAILED: line(IGNORED, *_FAIL[1:]),
}

CLOCK: dict[Happening, Line] = {
    H.START_OVERDUE: line(IGNORED, ((S.STARTING, S.RECOVERING), _STOP_ALL)),
    H.SILENCE_OVERDUE: line(IGNORED, (TRAINS, _STOP_ALL)),
    H.STOP_OVERDUE: line(
        IGNORED, ((S.STOPPING,), (Row(S.FAILED, before=(do.note_unconfirmed_stop,), words=do.error_words),))
    ),
    H.JOIN_OVERDUE: line(IGNORED, *_FAIL[1:2]),
    H.OLDER_RUN_WAITS: line(
        IGNORED, (TRAINS, (Row(before=(do.renew_parts,), after=(do.tell_gave_way, do.announce, do.want_as_before)),))
    ),
}

HUB: dict[Happening, Line] = {
    H.JOIN_FAILED: line(IGNORED, *_FAIL[1:]),
    H.PACKAGED: line(IGNORED, ((S.FINISHING,), (Row(S.DONE, before=(do.end_checks, do.want_nothing_more)),))),
    H.HUB_RESTORED: line(
        IGNORED,
        (
            (S.STARTING, S.TRAINING),
            (
                Row(
                    S.RECOVERING,
                    before=(do.forget_parts, do.raise_attempts, do.count_restart),
                    words=do.restore_words,
                    after=(do.tell_workers_of_restore,),
                ),
            ),
        ),
        (
            (S.RECOVERING, S.PAUSED),
            (Row(before=(do.forget_parts, do.raise_attempts), after=(do.tell_restored, do.tell_workers_of_restore)),),
        ),
        ((S.FINISHING, S.STOPPING), (Row(after=(do.tell_restored, do.tell_workers_of_restore)),)),
        (
            (S.AWAITING, S.APPROVED),
            (Row(before=(do.raise_attempts,), after=(do.tell_restored, do.tell_workers_of_restore)),),
        ),
        ((S.DRAFT, S.DECLINED, S.FAILED, S.STOPPED), (Row(before=(do.raise_attempts,)),)),
    ),
}

TABLE: dict[Happening, Line] = {**PEOPLE, **WORKERS, **CLOCK, **HUB}
