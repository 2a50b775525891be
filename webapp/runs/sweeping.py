"""The hub's own eye on time: silent workers, late starts, stops that nobody confirms, checks that never come."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from interface.formatting import human_duration
from webapp.adapters.models import AdapterState
from webapp.core.health import sweep_failed
from webapp.core.live import wake_worker
from webapp.core.queueing import enqueue_on_commit
from webapp.core.transactions import service
from webapp.fleet.models import WorkerState
from webapp.runs.finishing.packaging import CHECK_DEADLINE
from webapp.runs.kinds.checks import checks_request
from webapp.runs.life.apply import run_apply
from webapp.runs.life.effects import JOIN, PACKAGE
from webapp.runs.life.events import Event, Happening
from webapp.runs.life.failing import failure
from webapp.runs.life.guards import gone
from webapp.runs.life.parts import part_drop, phase_before_drop
from webapp.runs.lifecycle.quarantine import run_hold_for
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, ParticipantRole, Run, RunState
from webapp.runs.states import LIVE, TRAINS
from webapp.runs.timeline import error_info, run_announce, timeline_event
from webapp.runs.turns import blocks, is_queued_behind_work
from workers.contracts import HubEvent, Phase

START_DEADLINE = timedelta(minutes=15)
DROP_DEADLINE = timedelta(minutes=15)
STOP_DEADLINE = timedelta(minutes=3)
JOIN_DEADLINE = timedelta(seconds=30)
SILENT_BEATS = 3
log = logging.getLogger(__name__)
_LAST, _SINCE = "sweep:last", "sweep:since"


def sweep() -> None:
    """Look at every live run once. Each has a short transaction of its own, and one that fails keeps no other back."""
    watched_since = _watched_since()
    for run_id in list(Run.objects.filter(state__in=LIVE).values_list("id", flat=True)):
        try:
            _sweep_run(run_id, watched_since)
        except Exception:  # whatever it is: the next sweep tries again, and an operator sees the count
            log.exception("the sweep of the run %s failed", run_id)
            sweep_failed()


def _watched_since() -> datetime:
    """Since when the hub looks without a gap. While it was away itself, no worker could be heard."""
    now, longest = timezone.now(), timedelta(seconds=settings.WORKER_BEAT_SECONDS * SILENT_BEATS)
    last, since = cache.get(_LAST), cache.get(_SINCE)
    unbroken = last and since and now - datetime.fromisoformat(last) <= longest
    began = datetime.fromisoformat(since) if unbroken else now
    cache.set_many({_LAST: now.isoformat(), _SINCE: began.isoformat()}, timeout=None)
    return began


@service
def _sweep_run(run_id: str, watched_since: datetime) -> None:
    run = run_lock(run_id)
    if run.state not in LIVE:
        return
    parts = list(run.participants.select_related("worker", "organisation"))
    _hold_for_quarantine(run, parts)
    _note_absence(run, parts, watched_since)
    _mark_silent(run, parts, watched_since)
    age = timezone.now() - run.state_since
    if run.state in (RunState.STARTING, RunState.RECOVERING) and _is_late(run, parts):
        _fail_late_start(run, parts)
    elif run.state in TRAINS:
        _fail_long_silence(run, parts)
        _give_way(run)
    elif run.state == RunState.STOPPING and age > STOP_DEADLINE:
        _give_up_stop(run, parts)
    elif run.state == RunState.FINISHING:
        _finish(run, age)


def _hold_for_quarantine(run: Run, parts: list[Participant]) -> None:
    """A run that started while one of its workers was put into quarantine is held now."""
    suspect = next((p for p in parts if _is_suspect(p) and not p.outcome and p.role != ParticipantRole.EVALUATOR), None)
    if suspect is not None and run.state in TRAINS and run.state != RunState.PAUSED:
        run_hold_for(run, suspect)


def _is_suspect(part: Participant) -> bool:
    """Whether a part's worker is in quarantine: the hub refuses its calls, so its silence says nothing."""
    return part.worker.state == WorkerState.QUARANTINED


def _note_absence(run: Run, parts: list[Participant], watched_since: datetime) -> None:
    """Say once that it was the hub that was away, where it looks again since after every worker's last word."""
    beats = [part.last_beat_at for part in parts if part.last_beat_at is not None]
    gap = watched_since - max(beats) if beats else timedelta(0)
    if run.state not in TRAINS or gap <= timedelta(seconds=settings.WORKER_BEAT_SECONDS * SILENT_BEATS):
        return
    told = run.records.filter(kind="event", payload__name=HubEvent.HUB_RETURNED).order_by("-seq")
    if not told.filter(at__gte=watched_since).exists():
        timeline_event(
            run,
            HubEvent.HUB_RETURNED,
            f"The hub was down for about {human_duration(gap.total_seconds())}. The workers kept going and are now "
            "sending their reports.",
        )


def _mark_silent(run: Run, parts: list[Participant], watched_since: datetime) -> None:
    """Three beats without a word from a worker whose part runs, or that is to load the adapter: its lane says so.

    The beats are counted from when the hub looks again, where it was away itself.
    """
    limit = timezone.now() - timedelta(seconds=settings.WORKER_BEAT_SECONDS * SILENT_BEATS)
    if watched_since > limit:
        return
    for part in parts:
        silent = part.last_beat_at is not None and part.last_beat_at < limit
        runs = part.attempt > 0 and not part.outcome
        checks = run.state == RunState.FINISHING and bool(part.dataset_version_id) and part.outcome in ("", "done")
        if not silent or not (runs or checks) or part.phase == Phase.DROPPED or _is_suspect(part):
            continue
        part_drop(part)
        error = error_info("CL-1510", f"{part.worker.name} of {part.organisation.name} stopped responding.")
        timeline_event(run, HubEvent.PARTICIPANT_DROPPED, error.message, error=error, participant=part)
        run_announce(run)


def _is_late(run: Run, parts: list[Participant]) -> bool:
    """Whether a start has taken too long. The time counts from when nothing but the run's own parts is waited for.

    A paused run that keeps a worker is no reason to wait without end: this one's other workers would be kept as well.
    """
    now = timezone.now()
    if any(is_queued_behind_work(part) or part.waits_for_site for part in parts):
        run.waited_at = now
        run.save(update_fields=["waited_at", "updated_at"])
        return False
    return now - max(run.state_since, run.waited_at or run.state_since) > START_DEADLINE


def _fail_late_start(run: Run, parts: list[Participant]) -> None:
    training = [p for p in parts if p.role != ParticipantRole.EVALUATOR]
    late = min(training, key=lambda p: (not p.awaits_claim, p.phase_since))
    what = "did not start its part" if late.awaits_claim else f"is still in phase '{late.phase}'"
    error = error_info("CL-1506", f"{late.worker.name} of {late.organisation.name} {what} in time.")
    run_apply(run, failure(run, Happening.START_OVERDUE, error, participant=late))


def _fail_long_silence(run: Run, parts: list[Participant]) -> None:
    """The deadline counts from the moment the lane was marked, so an outage of the hub itself fails nobody."""
    for part in parts:
        overdue = part.phase == Phase.DROPPED and timezone.now() - part.phase_since > DROP_DEADLINE
        if overdue and not _is_suspect(part):
            error = error_info("CL-1510", f"{part.worker.name} of {part.organisation.name} didn't come back.")
            phase = phase_before_drop(part) or ""
            run_apply(run, failure(run, Happening.SILENCE_OVERDUE, error, participant=part, phase=phase))
            return


def _give_way(run: Run) -> None:
    """Let a run that has not got all its workers together free those that it has, for an older run's part.

    That run may be of organisations that this one's know nothing of: it is not named.
    """
    older = blocks(run) if run.state in TRAINS else None
    if older is not None:
        detail = f"The run is waiting because an earlier run needs {older.worker.name} again."
        run_apply(run, Event(Happening.OLDER_RUN_WAITS, detail))


def _give_up_stop(run: Run, parts: list[Participant]) -> None:
    """A worker that is silent cannot confirm: the run ends as failed and says who has not confirmed."""
    open_parts = [p for p in parts if not gone(p)]
    if any(p.phase != Phase.DROPPED and not _is_suspect(p) for p in open_parts):
        return
    names = ", ".join(f"{p.worker.name} of {p.organisation.name}" for p in open_parts)
    error = error_info("CL-1507", f"{names} has not confirmed that its process ended.")
    silent = open_parts[0] if open_parts else None
    run_apply(run, Event(Happening.STOP_OVERDUE, participant=silent, error=error))


def _finish(run: Run, age: timedelta) -> None:
    """Ring the doorbells of joining, checking and packaging again, as far as each is still to do."""
    if not run.adapters.exclude(state=AdapterState.COLLECTING).exists():
        if age > CHECK_DEADLINE:
            error = error_info("CL-1705", "The segments could not be joined in time.")
            run_apply(run, failure(run, Happening.JOIN_OVERDUE, error, phase="joining"))
        elif age > JOIN_DEADLINE:
            enqueue_on_commit(JOIN, run.id)
        return
    waited = {part.worker_id for part in checks_request(run)}
    if not waited or age >= CHECK_DEADLINE:
        enqueue_on_commit(PACKAGE, run.id)
        return
    for worker_id in waited:
        wake_worker(worker_id, "check")
