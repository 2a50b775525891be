"""Runs whose party was withdrawn, and the runs that an organisation has a part in."""

from __future__ import annotations

from django.db.models import QuerySet

from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.fleet.models import Worker
from webapp.orgs.models import Organisation
from webapp.projects.models import Project
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Event, Happening
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, Run, RunState

WAITING = (RunState.AWAITING, RunState.APPROVED)


def runs_return_to_draft(*, actor: User | Worker, runs: QuerySet[Run], why: str) -> None:
    """Take the waiting and approved ones of `runs` back to drafts, because of what `why` says.

    Called before the rows of what is withdrawn are locked: runs come first in the order of locks.
    """
    waiting = runs.filter(state__in=WAITING).order_by("id").values_list("id", flat=True).distinct()
    for run_id in list(waiting):
        run = run_lock(run_id)
        if not run_apply(run, Event(Happening.PARTY_WITHDRAWN, f"{why} Approvals are void.")):
            continue
        audit_record(
            actor=actor,
            action="run.taken_back",
            organisation_id=run.organisation_id,
            project_id=run.project_id,
            object_id=run.id,
            details={"why": why},
        )


def runs_with_party(organisation: Organisation, project: Project) -> QuerySet[Run]:
    """The runs of a project that an organisation owns or has a worker in."""
    parts = Participant.objects.filter(organisation=organisation).values("run_id")
    own = Run.objects.filter(project=project, organisation=organisation)
    return own | Run.objects.filter(project=project, id__in=parts)
