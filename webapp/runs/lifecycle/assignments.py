"""What a worker has to do, derived from the rows at the moment it asks."""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice

from django.db.models import Case, Q, QuerySet, When
from django.utils import timezone
from pydantic import ValidationError

from webapp.fleet.models import Worker, WorkerState
from webapp.jobs.selectors import has_open_job, with_open_jobs
from webapp.runs.kinds.kind import Offer
from webapp.runs.kinds.registry import KINDS
from webapp.runs.models import Participant, Run, RunState
from webapp.runs.states import ENDED, REVIEWED
from workers.contracts import ASSIGNMENTS, CHECKPOINT_DAYS, REVIEW, Assignment, Desired, Role, kind_since

log = logging.getLogger(__name__)

_SETTLED = 100
_CHUNK = 100
_UNJUDGED = Q(run__state__in=REVIEWED, policy_verdict__isnull=True)
_TO_JUDGE = Q(run__state__in=REVIEWED)  # the accepted too: the site's policy, or its version, may have changed since
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
    return list(islice(_readable(_open_parts().filter(worker=worker).iterator(_CHUNK)), ASSIGNMENTS))


@functools.cache
def _open_parts() -> QuerySet[Participant]:
    """The parts that concern a worker, in the order of an answer: a query that every worker asks every few seconds."""
    asked = [kind.listed() & Q(has_open_job([name])) for name, kind in KINDS.items()]
    rows = Participant.objects.filter(functools.reduce(operator.or_, asked, _TO_JUDGE))
    rows = rows.select_related("run").prefetch_related(with_open_jobs(KINDS))
    return rows.annotate(place=_PLACE).order_by("place", "run__created_at")


def _readable(rows: Iterable[Participant]) -> Iterator[Assignment]:
    """The rows' assignments. One that breaks the form is left out and logged, so that it does not hide the others."""
    for row in rows:
        for kind, offer in _offers(row):
            try:
                yield _assignment(row, kind, offer)
            except ValidationError as error:
                log.error("the part %s of the run %s cannot be assigned: %s", row.id, row.run_id, error.errors()[:1])


def _offers(row: Participant) -> Iterator[tuple[str, Offer]]:
    """What the part's worker is told now: the review of its contract, and a job of each kind, the oldest first."""
    if row.run.state in REVIEWED:
        yield REVIEW, Offer(Desired.NONE)
    asked = [KINDS[name] for name in dict.fromkeys(job.kind for job in row.open_jobs)]
    due = {kind.name for kind in asked if row.run.state in kind.wanted_in and kind.is_due(row)}
    for job in row.open_jobs:
        offer = KINDS[job.kind].offer(row, job) if job.kind in due else None
        if offer is not None:
            due.remove(job.kind)
            yield job.kind, offer


def settled_for(worker: Worker) -> list[str]:
    """The newest runs of a worker that are over for good: done, or ended so long ago that none will take them up."""
    limit = timezone.now() - timedelta(days=CHECKPOINT_DAYS)
    over = Q(state=RunState.DONE) | Q(state__in=ENDED, ended_at__lt=limit)
    runs = Run.objects.filter(over, participants__worker=worker, started_at__isnull=False).order_by("-ended_at")
    return list(runs.values_list("id", flat=True).distinct()[:_SETTLED])


def _assignment(row: Participant, kind: str, offer: Offer) -> Assignment:
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
            "desired": offer.desired,
            "contract": row.run.contract,
            "contract_hash": row.run.contract_hash,
            "stop_confirmed": row.stop_confirmed_at is not None,
            **offer.told,
        }
    )
