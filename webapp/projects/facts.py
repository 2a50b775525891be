"""What is ready and what is missing: of each organisation in a project, and of one's own at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from webapp.datasets.models import Dataset
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.presence import is_online
from webapp.orgs.models import InvitationState, Organisation, PartyKind
from webapp.orgs.permissions import Action, why_not
from webapp.projects.models import Participation, Project
from webapp.projects.selectors import participations_of
from webapp.runs.models import Run, RunState

if TYPE_CHECKING:
    from webapp.accounts.models import User


@dataclass(frozen=True)
class Fact:
    """One chip: a state word for the look, and what it says."""

    state: str
    label: str
    title: str = ""


@dataclass(frozen=True)
class PartyFacts:
    """An organisation in a project with one chip per fact."""

    participation: Participation
    place: int
    facts: list[Fact]


# Of a dataset: a version that is neither withdrawn nor gone from its worker.
_USABLE = {
    "is_archived": False,
    "versions__withdrawn_at": None,
    "versions__missing_at": None,
    "versions__isnull": False,
}


@dataclass(frozen=True)
class Step:
    """One line of the first-run checklist."""

    label: str
    text: str
    url: str
    action: str
    done: bool
    blocked: str = ""


def party_facts(project: Project) -> list[PartyFacts]:
    """Each organisation of the project with what it has ready; three queries however many take part."""
    participations = list(participations_of(project))
    ids = [one.organisation_id for one in participations]
    workers: dict[str, list[Worker]] = {}
    for worker in Worker.objects.filter(organisation_id__in=ids, state=WorkerState.ACTIVE):
        workers.setdefault(worker.organisation_id, []).append(worker)
    datasets: dict[str, int] = {}
    offered = Dataset.objects.filter(projects=project, **_USABLE).values_list("organisation_id", "pk")
    for organisation_id, _ in offered.distinct():
        datasets[organisation_id] = datasets.get(organisation_id, 0) + 1
    return [
        PartyFacts(
            one,
            place,
            [
                Fact("accepted", "Joined", f"Accepted by {one.accepted_by}" if one.accepted_by else ""),
                _worker_fact(workers.get(one.organisation_id, [])),
                *_data_facts(one, datasets.get(one.organisation_id, 0)),
            ],
        )
        for place, one in enumerate(participations)
    ]


def _worker_fact(workers: list[Worker]) -> Fact:
    if not workers:
        return Fact("waiting", "No worker yet", "The organisation has no confirmed worker.")
    online = sum(is_online(last_beat_at=one.last_beat_at, connected_at=one.connected_at) for one in workers)
    if online:
        return Fact("online", f"{online} of {len(workers)} workers online" if len(workers) > 1 else "Worker online")
    return Fact("offline", "Worker offline", "No worker of the organisation sent any of its last three heartbeats.")


def _data_facts(participation: Participation, count: int) -> list[Fact]:
    if participation.kind == PartyKind.COMPUTE:
        return []
    if not count:
        return [Fact("waiting", "No dataset offered")]
    return [Fact("ready", f"{count} dataset{'s' if count > 1 else ''} offered")]


def first_steps(user: User, organisation: Organisation) -> list[Step]:
    """Organisation → colleague → project → worker → dataset → run: what is done and who can do the rest."""
    members = organisation.memberships.filter(is_active=True).count()
    waiting = organisation.invitations.filter(project=None, state=InvitationState.PENDING)
    invited = waiting.filter(expires_at__gt=timezone.now()).exists()
    active = organisation.participations.filter(is_active=True, project__is_archived=False)
    workers = organisation.workers.filter(state=WorkerState.ACTIVE).exists()
    unconfirmed = None if workers else organisation.workers.filter(state=WorkerState.PENDING).first()
    steps = [
        Step("Create your organisation", organisation.name, "/org", "Open the profile", True),
        Step(
            "Invite a colleague",
            "Give each person a role: steward, engineer, operator or auditor.",
            "/org/invitations/new",
            "Invite",
            members > 1 or invited,
            why_not(user, Action.INVITE_PEOPLE, organisation),
        ),
        Step(
            "Start a project with your partners",
            "A project brings together the organisations that train a model.",
            "/projects/new",
            "New project",
            active.exists(),
            why_not(user, Action.CREATE_PROJECT, organisation),
        ),
        _confirm_step(user, unconfirmed) if unconfirmed else _enrol_step(user, organisation, workers),
    ]
    if organisation.kind != PartyKind.COMPUTE:
        missing = "" if workers else "Confirm your worker first." if unconfirmed else "Enrol a worker first."
        steps.append(_dataset_step(user, organisation, missing))
    steps.append(_run_step(user, organisation))
    return steps


def _enrol_step(user: User, organisation: Organisation, done: bool) -> Step:
    return Step(
        "Enrol a worker",
        "One command on your own machine. Its key is created there.",
        "/workers/new",
        "Enrol",
        done,
        why_not(user, Action.ENROL_WORKER, organisation),
    )


def _confirm_step(user: User, worker: Worker) -> Step:
    return Step(
        "Enrol a worker",
        f"{worker.name} has joined. Compare its fingerprint and confirm it.",
        f"/workers/{worker.pk}",
        "Compare",
        False,
        why_not(user, Action.CONFIRM_WORKER, worker.organisation),
    )


def _dataset_step(user: User, organisation: Organisation, missing: str) -> Step:
    blocked = why_not(user, Action.ADD_DATASET, organisation) or missing
    return Step(
        "Add a dataset",
        "In your own worker's console. The rows stay there.",
        "/datasets/new",
        "Add",
        organisation.datasets.filter(**_USABLE).exists(),
        blocked,
    )


def _run_step(user: User, organisation: Organisation) -> Step:
    runs = Run.objects.filter(participants__organisation=organisation, state=RunState.DONE)
    return Step(
        "Train together",
        "Configure a run, have every organisation approve it, and follow its progress.",
        "/runs/new",
        "Configure a run",
        runs.exists(),
        why_not(user, Action.CONFIGURE_RUN, organisation),
    )


def needs_attention(workers: list[Worker]) -> list[dict[str, Any]]:
    """The workers with a problem: what it is, and since when."""
    problems: list[dict[str, Any]] = []
    for worker in workers:
        failed = [check for check in worker.checks if check.get("status") == "failed"]
        if worker.state == WorkerState.QUARANTINED:
            problems.append({"worker": worker, "state": "quarantined", "text": "It can't receive work yet."})
        elif worker.state == WorkerState.PENDING:
            problems.append(
                {"worker": worker, "state": "awaiting_confirmation", "text": "Compare its fingerprint and confirm it."}
            )
        elif worker.state == WorkerState.ACTIVE and not is_online(
            last_beat_at=worker.last_beat_at, connected_at=worker.connected_at
        ):
            problems.append(
                {
                    "worker": worker,
                    "state": "offline",
                    "text": "Last seen",
                    "since": worker.last_beat_at,
                }
            )
        elif worker.state == WorkerState.ACTIVE and failed:
            names = ", ".join(str(check.get("name")) for check in failed)
            problems.append({"worker": worker, "state": "warning", "text": f"Failed checks: {names}"})
    return problems
