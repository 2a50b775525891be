"""What a worker has to do, derived from the rows at the moment it asks."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from django.db.models import Case, Q, QuerySet, When
from django.utils import timezone
from pydantic import ValidationError

from webapp.adapters.models import Adapter, AdapterState
from webapp.fleet.models import Worker, WorkerState
from webapp.runs.lifecycle.turns import has_turn
from webapp.runs.models import DesiredState, Participant, ParticipantRole, Run, RunState
from webapp.runs.states import ENDED
from workers.contracts import (
    API_PREFIX,
    ASSIGNMENTS,
    CHECKPOINT_DAYS,
    REVIEW,
    Assignment,
    Desired,
    Phase,
    Role,
    kind_since,
)

log = logging.getLogger(__name__)

AWAY = timedelta(minutes=2)
_SETTLED = 100
_TRAIN = (ParticipantRole.CLIENT, ParticipantRole.SERVER)
_JOINED = (AdapterState.JOINED, AdapterState.READY)
_REVIEWED = (RunState.AWAITING, RunState.APPROVED)
_UNJUDGED = Q(run__state__in=_REVIEWED, policy_verdict__isnull=True)
_TO_JUDGE = Q(run__state__in=_REVIEWED)  # the accepted too: the site's policy, or its version, may have changed since
# Wanted, or may still have a process that has to confirm its end.
_HAS_PROCESS = Q(run__desired__in=[DesiredState.RUNNING, DesiredState.PAUSED]) | Q(
    attempt__gt=0, stop_confirmed_at__isnull=True
)
# An ended run stays in the table for ever, and a worker asks every few seconds: the database leaves it out.
_STARTED = ~Q(run__state__in=[RunState.DRAFT, RunState.DECLINED, RunState.DONE, *_REVIEWED]) & (
    Q(run__state=RunState.FINISHING, outcome__in=["", "done"]) | Q(_HAS_PROCESS, role__in=_TRAIN, outcome="")
)
_PLACE = Case(
    When(_UNJUDGED, then=2),
    When(_TO_JUDGE & Q(policy_verdict__accepted=False), then=3),
    When(_TO_JUDGE, then=4),
    When(attempt__gt=0, then=0),
    default=1,
)


def assignments_for(worker: Worker) -> list[Assignment]:
    """Every part that is this worker's business now; what is not in the list is not.

    What has a process, or may have one, comes first; then what is to start; last the contracts to be judged: those
    without a verdict, then those that are refused or wait, then the accepted: the site's word may change until the run
    starts. Those that do not fit into one answer follow when some of the others are over.
    """
    if worker.state != WorkerState.ACTIVE:
        return []
    return list(islice(_readable(_open_parts().filter(worker=worker).iterator()), ASSIGNMENTS))


@functools.cache
def _open_parts() -> QuerySet[Participant]:
    """The parts that concern a worker, in the order of an answer: a query that every worker asks every few seconds."""
    rows = Participant.objects.filter(_STARTED | _TO_JUDGE).select_related("run")
    return rows.annotate(place=_PLACE).order_by("place", "run__created_at")


def _readable(rows: Iterable[Participant]) -> Iterator[Assignment]:
    """The rows' assignments. One that breaks the form is left out and logged, so that it does not hide the others."""
    for row in rows:
        try:
            found = _assignment(row)
        except ValidationError as error:
            log.error("the part %s of the run %s cannot be assigned: %s", row.id, row.run_id, error.errors()[:1])
            continue
        if found is not None:
            yield found


def _assignment(row: Participant) -> Assignment | None:
    run = row.run
    if run.state in _REVIEWED:
        return _base(row, REVIEW, Desired.NONE)
    if run.state == RunState.FINISHING and row.outcome in ("", "done"):
        if row.role in _TRAIN and not row.outcome:
            return _train(row)
        return _check(row)
    if row.role in _TRAIN and not row.outcome:
        may_run = row.attempt > 0 and row.stop_confirmed_at is None
        return _train(row) if may_run or _is_due(row) else None
    return None


def _is_due(row: Participant) -> bool:
    """Whether a part may be taken up: not while older runs wait for the worker, nor anew while the run is paused."""
    held = row.run.state == RunState.PAUSED and row.awaits_claim
    return not held and has_turn(row)


def settled_for(worker: Worker) -> list[str]:
    """The newest runs of a worker that are over for good: done, or ended so long ago that none will take them up."""
    limit = timezone.now() - timedelta(days=CHECKPOINT_DAYS)
    over = Q(state=RunState.DONE) | Q(state__in=ENDED, ended_at__lt=limit)
    runs = Run.objects.filter(over, participants__worker=worker, started_at__isnull=False).order_by("-ended_at")
    return list(runs.values_list("id", flat=True).distinct()[:_SETTLED])


def _base(row: Participant, kind: str, desired: Desired, **more: Any) -> Assignment:
    return Assignment.model_validate(
        {
            "run_id": row.run_id,
            "participant_id": row.id,
            "party": row.party,
            "role": Role(row.role),
            "attempt": row.attempt,
            "wanted_attempt": row.wanted_attempt,
            "kind": kind,
            "kind_since": kind_since(kind),
            "desired": desired,
            "contract": row.run.contract,
            "contract_hash": row.run.contract_hash,
            "stop_confirmed": row.stop_confirmed_at is not None,
            **more,
        }
    )


def _train(row: Participant) -> Assignment:
    run = row.run
    parts = list(run.participants.select_related("worker"))
    server = next((p for p in parts if p.role == ParticipantRole.SERVER), None)
    return _base(
        row,
        "train",
        Desired(run.desired),
        server_address=server.address if server else "",
        server_attempt=server.attempt if server else 0,
        client_attempts={p.party: max(p.attempt, p.wanted_attempt) for p in parts if p.role == ParticipantRole.CLIENT},
        certificates=[p.worker.certificate_pem for p in parts],
    )


def _check(row: Participant) -> Assignment | None:
    adapter = next((a for a in pending_adapters(row)), None)
    if adapter is None:
        return None
    kind = "evaluate" if row.dataset_version_id else "verify"
    return _base(
        row,
        kind,
        Desired.RUNNING,
        adapter_id=adapter.id,
        adapter_sha256=adapter.sha256,
        adapter_url=f"{API_PREFIX}/runs/{row.run_id}/adapters/{adapter.id}?participant_id={row.id}",
    )


def checkers(run: Run) -> list[Participant]:
    """Who loads the joined adapter: the parties with rows; the compute worker only where none of them is left.

    A silent worker is waited for a while, counted from when it was marked, so that an outage of the hub skips nobody.
    """
    parts = list(run.participants.all())
    limit = timezone.now() - AWAY
    away = {p.id for p in parts if p.phase == Phase.DROPPED and p.phase_since < limit}
    able = [p for p in parts if p.dataset_version_id and p.id not in away and p.outcome in ("", "done")]
    return able or [p for p in parts if p.role == ParticipantRole.SERVER and p.receives_adapter]


def pending_adapters(row: Participant) -> Iterable[Adapter]:
    """The joined adapters that this participant has still to load, its own or the run's."""
    if row.id not in {p.id for p in checkers(row.run)}:
        return []
    adapters = row.run.adapters.filter(state__in=_JOINED).order_by("party")
    return [a for a in adapters if _is_for(row, a) and row.id not in a.reports]


def _is_for(row: Participant, adapter: Adapter) -> bool:
    """A data party loads the run's adapter or its own; evaluators and the compute worker load any."""
    return not adapter.party or adapter.party == row.party or row.role != ParticipantRole.CLIENT


def may_report(row: Participant, adapter: Adapter) -> bool:
    """Whether a participant's word on an adapter counts: it is to load it, or was while it had not gone silent."""
    has_rows = bool(row.dataset_version_id) and row.outcome in ("", "done")
    return _is_for(row, adapter) and (has_rows or row.id in {part.id for part in checkers(row.run)})
