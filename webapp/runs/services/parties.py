"""What a run may use now: its organisations, workers and datasets. Asked when it is submitted and when it starts."""

from __future__ import annotations

from django.db.models import QuerySet

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.fleet.models import Worker, WorkerState
from webapp.orgs.models import Organisation
from webapp.projects.models import Project
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, ParticipantRole, Run, RunState
from webapp.runs.services.drafts import approvals_void

WAITING = (RunState.AWAITING, RunState.APPROVED)


def parties_check(run: Run) -> list[Participant]:
    """The run's participants, all of them still available. Raises CL-1003, CL-1004 or CL-1006, naming who or what.

    A contract is a promise of the day on which it was approved; what was withdrawn since trains nothing.
    """
    participants = list(run.participants.select_related("worker", "organisation", "dataset_version__dataset"))
    _check_roles(participants)
    takes_part = set(run.project.participations.filter(is_active=True).values_list("organisation_id", flat=True))
    for organisation in [run.organisation, *(row.organisation for row in participants)]:
        _check_organisation(organisation, takes_part, run.project)
    for row in participants:
        _check_worker(row)
        _check_dataset(row, run.project)
    formats = {str(p.dataset_version.metadata.get("format")) for p in participants if p.dataset_version is not None}
    if len(formats) > 1:
        raise AppError("CL-1004", f"The chosen datasets have different formats: {', '.join(sorted(formats))}.")
    return participants


def _check_roles(participants: list[Participant]) -> None:
    """Data parties, and one compute worker."""
    servers = [p for p in participants if p.role == ParticipantRole.SERVER]
    if not any(p.role == ParticipantRole.CLIENT for p in participants):
        raise AppError("CL-1003", "No data organisation's dataset is chosen.")
    if len(servers) != 1:
        raise AppError(
            "CL-1003", "No compute worker is chosen." if not servers else "Only one compute worker can run the body."
        )


def _check_organisation(organisation: Organisation, takes_part: set[str], project: Project) -> None:
    if organisation.pk not in takes_part or not organisation.is_active:
        raise AppError("CL-1006", f"{organisation.name} no longer takes part in the project {project.name}.")


def _check_worker(row: Participant) -> None:
    if row.worker.state == WorkerState.ACTIVE:
        return
    message = f"The worker {row.worker.name} of {row.organisation.name} is {row.worker.get_state_display().lower()}."
    if row.worker.state == WorkerState.QUARANTINED:
        remedy = f"An administrator or compute operator of {row.organisation.name} can release it on its page."
        raise AppError("CL-1006", message, remedy)
    raise AppError("CL-1006", message)


def _check_dataset(row: Participant, project: Project) -> None:
    if row.role == ParticipantRole.SERVER:
        return
    version = row.dataset_version
    if version is None or version.dataset.worker_id != row.worker_id:
        raise AppError("CL-1003", f"No dataset of {row.worker.name} of {row.organisation.name} is chosen.")
    name = f"{version.dataset.name} v{version.number} of {row.organisation.name}"
    if version.withdrawn_at is not None or version.dataset.is_archived:
        raise AppError("CL-1006", f"The dataset {name} was withdrawn.")
    if not version.dataset.projects.filter(pk=project.pk).exists():
        raise AppError("CL-1006", f"The dataset {name} is no longer offered to the project {project.name}.")


def runs_return_to_draft(*, actor: User | Worker, runs: QuerySet[Run], why: str) -> None:
    """Take the waiting and approved ones of `runs` back to drafts, because of what `why` says.

    Called before the rows of what is withdrawn are locked: runs come first in the order of locks.
    """
    waiting = runs.filter(state__in=WAITING).order_by("id").values_list("id", flat=True).distinct()
    for run_id in list(waiting):
        run = run_lock(run_id)
        if run.state not in WAITING:
            continue
        approvals_void(run, f"{why} Approvals are void.")
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
