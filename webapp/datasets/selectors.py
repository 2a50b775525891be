"""Reads of datasets. Visible: the own organisations', and those that partners offer to a project that one shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404

from webapp.datasets.models import Dataset, DatasetVersion
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.selectors import workers_visible_to
from webapp.orgs.models import Organisation, PartyKind
from webapp.orgs.selectors import organisation_ids_of
from webapp.projects.models import Project
from webapp.projects.selectors import projects_visible_to
from webapp.runs.models import Participant
from webapp.runs.selectors import runs_visible_to

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from webapp.accounts.models import User

_VERSIONS = Prefetch("versions", queryset=DatasetVersion.objects.order_by("-number"))


def datasets_visible_to(user: User | AnonymousUser) -> QuerySet[Dataset]:
    """Own datasets, and those offered to a project in which one of the person's organisations takes part."""
    own = Q(organisation_id__in=organisation_ids_of(user))
    offered = Q(is_archived=False, projects__in=projects_visible_to(user))
    return (
        Dataset.objects.filter(own | offered)
        .select_related("organisation", "worker")
        .prefetch_related(_VERSIONS, "projects")
        .order_by("name", "id")
        .distinct()
    )


def dataset_get_for(*, user: User, dataset_id: str) -> Dataset:
    """One of those datasets, else 404."""
    dataset = datasets_visible_to(user).filter(pk=dataset_id).first()
    if dataset is None:
        raise Http404("No such dataset.")
    return dataset


def is_own(user: User, dataset: Dataset) -> bool:
    """Whether one of the person's organisations owns the dataset."""
    return dataset.organisation_id in set(organisation_ids_of(user))


def projects_shown(*, user: User, dataset: Dataset) -> QuerySet[Project]:
    """The projects to which the dataset is offered, as far as the person can see them."""
    return projects_visible_to(user).filter(datasets=dataset).order_by("name")


def projects_to_offer(*, user: User, dataset: Dataset) -> QuerySet[Project]:
    """The projects of the dataset's organisation to which it is not offered yet."""
    return (
        projects_visible_to(user)
        .filter(participations__organisation=dataset.organisation, participations__is_active=True, is_archived=False)
        .exclude(datasets=dataset)
        .order_by("name")
        .distinct()
    )


def usage_of(*, user: User, dataset: Dataset) -> QuerySet[Participant]:
    """The parts in visible runs that use a version of the dataset, newest first."""
    return (
        Participant.objects.filter(dataset_version__dataset=dataset, run__in=runs_visible_to(user))
        .select_related("run", "run__project", "dataset_version")
        .order_by("-run__created_at")
    )


def workers_for_upload(*, user: User, organisation: Organisation) -> QuerySet[Worker]:
    """The organisation's workers that may hold data."""
    return (
        workers_visible_to(user)
        .filter(organisation=organisation, kind__in=[PartyKind.DATA, PartyKind.BOTH], state=WorkerState.ACTIVE)
        .order_by("name")
    )
