"""What a run may use now: its organisations, workers and datasets. Asked when it is submitted and when it starts."""

from __future__ import annotations

from collections.abc import Iterable

from splitcore.config import RunConfig
from splitcore.data.task import SequenceTask
from splitcore.errors import AppError
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import WorkerState
from webapp.orgs.models import Organisation
from webapp.projects.models import Project
from webapp.runs.models import Participant, ParticipantRole, Run


def parties_check(run: Run) -> list[Participant]:
    """The run's participants, all of them still available. Raises CL-1003, 1004, 1006 or 1223, naming who or what.

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


def label_problems(config: RunConfig, versions: Iterable[DatasetVersion]) -> dict[str, str]:
    """The datasets (version id → sentence) whose rows don't fit the run's task, as far as their sites told; CL-1246.

    A site that keeps its labels' names to itself compares them when it starts its part.
    """
    task = config.data.task
    if not isinstance(task, SequenceTask):
        return {}
    found = {}
    for version in versions:
        unlisted = sorted(set(version.metadata.get("labels") or []) - set(task.labels))
        if version.metadata.get("format") != "labelled":
            found[version.id] = f"{version.dataset.name} has no labels, which the task sequence needs"
        elif unlisted:
            found[version.id] = f"{version.dataset.name} has labels that the run doesn't list: {', '.join(unlisted)}"
    return found


def labels_check(config: RunConfig, versions: Iterable[DatasetVersion]) -> None:
    """Raise CL-1246 where a dataset doesn't fit the run's task."""
    if problems := label_problems(config, versions):
        sentence = f"{'; '.join(problems.values())}."
        fields = [{"field": "data.task", "message": sentence}]
        raise AppError("CL-1246", sentence, details={"fields": fields})


def refusing_parts(run: Run) -> list[Participant]:
    """The parts whose workers refuse the run's contract by their sites' policies. One that waits does not refuse."""
    return [part for part in run.participants.select_related("worker", "organisation") if part.refuses_contract]


def refusals_check(run: Run, what: str) -> None:
    """Raise CL-1423, CL-1509 or CL-1514 where a worker refuses the contract, which then can't be `what`."""
    refusing = refusing_parts(run)
    if not refusing:
        return
    who = ", ".join(f"{part.worker.name} of {part.organisation.name}" for part in refusing)
    if all(part.only_lacks_trust for part in refusing):
        remedy = "At that site, `cutlayer worker trust` lists the certificate and prints the command."
        raise AppError("CL-1423", f"{who} doesn't trust a certificate in this contract yet.", remedy)
    if any(part.has_other_contract for part in refusing):
        raise AppError("CL-1514")
    raise AppError("CL-1509", f"The site policy of {who} refuses this contract, so it can't be {what}.")


def start_why_not(run: Run) -> str:
    """Why an approved run can't start now; empty where it can."""
    try:
        parties_check(run)
        refusals_check(run, "started")
    except AppError as error:
        return error.message
    return ""


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
    if version.missing_at is not None:
        raise AppError(
            "CL-1223",
            f"The rows of {name} are no longer on the worker {row.worker.name}.",
            "Add the file again on that worker, or choose another version.",
        )
    if not version.dataset.projects.filter(pk=project.pk).exists():
        raise AppError("CL-1006", f"The dataset {name} is no longer offered to the project {project.name}.")
