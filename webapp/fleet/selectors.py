"""Reads of workers and enrolment tokens. A worker is visible to the members of its own organisation alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Case, Count, Q, QuerySet, When
from django.http import Http404
from django.utils import timezone

from webapp.accounts.models import User
from webapp.accounts.sessions import person_of_session
from webapp.audit.models import AuditEntry
from webapp.fleet.models import EnrolmentToken, Worker, WorkerState
from webapp.fleet.signing import ENROLLED
from webapp.orgs.models import Organisation
from webapp.orgs.selectors import memberships_of, organisation_ids_of
from webapp.runs.models import Participant

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


def workers_visible_to(user: User | AnonymousUser) -> QuerySet[Worker]:
    """The workers of the person's own organisations."""
    return Worker.objects.filter(organisation_id__in=organisation_ids_of(user)).select_related("organisation")


def worker_get_for(*, user: User, worker_id: str) -> Worker:
    """One of those workers, else 404."""
    worker = workers_visible_to(user).filter(pk=worker_id).first()
    if worker is None:
        raise Http404("No such worker.")
    return worker


def enrolment_tokens_visible_to(user: User | AnonymousUser) -> QuerySet[EnrolmentToken]:
    """The enrolment tokens of the person's own organisations, newest first."""
    return (
        EnrolmentToken.objects.filter(organisation_id__in=organisation_ids_of(user))
        .select_related("organisation", "worker", "created_by")
        .order_by("-created_at")
    )


def enrolment_token_get_for(*, user: User, token_id: str) -> EnrolmentToken:
    """One of those tokens, else 404."""
    token = enrolment_tokens_visible_to(user).filter(pk=token_id).first()
    if token is None:
        raise Http404("No such token.")
    return token


def worker_may_connect(worker: Worker) -> bool:
    """Whether a control connection may stay open that was opened with this fingerprint of the worker."""
    return Worker.objects.filter(pk=worker.pk, fingerprint=worker.fingerprint, state__in=ENROLLED).exists()


def watched_organisation_id(*, user_id: str, by_password: bool, chosen: str, fixed: bool) -> str | None:
    """The organisation whose changes a person may follow: the chosen one; unless `fixed` else the first; or none."""
    user = person_of_session(user_id=user_id, by_password=by_password)
    if user is None:
        return None
    ids = list(memberships_of(user).values_list("organisation_id", flat=True))
    if chosen in ids:
        return chosen
    return ids[0] if ids and not fixed else None


def workers_table(user: User, organisation: Organisation) -> QuerySet[Worker]:
    """The organisation's workers as the table shows them: those that are gone come last."""
    gone = Case(When(state__in=[WorkerState.REVOKED, WorkerState.LEFT], then=1), default=0)
    return (
        workers_visible_to(user)
        .filter(organisation=organisation)
        .annotate(
            is_gone=gone,
            dataset_count=Count("datasets", filter=Q(datasets__is_archived=False), distinct=True),
        )
        .order_by("is_gone", "name")
    )


def open_tokens(user: User, organisation: Organisation) -> QuerySet[EnrolmentToken]:
    """The tokens that can still be used, and the workers that still wait for confirmation."""
    usable = Q(used_at=None, revoked_at=None, expires_at__gt=timezone.now())
    return enrolment_tokens_visible_to(user).filter(
        usable | Q(worker__state=WorkerState.PENDING), organisation=organisation
    )


def lanes_of(worker: Worker) -> QuerySet[Participant]:
    """The parts that the worker has in runs, the newest first."""
    return worker.participations.select_related("run", "run__project").order_by("-run__created_at")[:10]


def activity_of(worker: Worker) -> QuerySet[AuditEntry]:
    """What was done with the worker, the newest first."""
    return AuditEntry.objects.filter(
        object_id=worker.pk, organisation_id=worker.organisation_id, action__startswith="worker."
    ).order_by("-sequence")[:20]
