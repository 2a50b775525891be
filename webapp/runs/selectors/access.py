"""Which runs a person can see."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q, QuerySet
from django.http import Http404

from webapp.accounts.models import User
from webapp.orgs.selectors import organisation_ids_of
from webapp.projects.models import Participation
from webapp.runs.models import Participant, Run, RunState


def runs_visible_to(user: User) -> QuerySet[Run]:
    """Runs of the person's organisations and of their projects; a draft only to its own organisation."""
    mine = organisation_ids_of(user)
    projects = Participation.objects.filter(organisation__in=mine, is_active=True).values("project_id")
    parts = Participant.objects.filter(organisation__in=mine).values("run_id")
    shared = (Q(project__in=projects) | Q(id__in=parts)) & ~Q(state=RunState.DRAFT)
    return Run.objects.filter(Q(organisation__in=mine) | shared).select_related("project", "organisation", "created_by")


def visible_parents(user: User, runs: Iterable[Run]) -> dict[str, Run]:
    """The runs that these were cloned from, as far as the person may see them, by id."""
    return runs_visible_to(user).in_bulk({run.parent_id for run in runs if run.parent_id})


def run_get_for(*, user: User, run_id: str) -> Run:
    """One run, or 404."""
    run = runs_visible_to(user).filter(pk=run_id).first()
    if run is None:
        raise Http404("No such run.")
    return run
