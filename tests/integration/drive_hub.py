"""What the people of a test's organisations do on the hub, through its services: `python -m … COMMAND JSON`."""

from __future__ import annotations

import json
import sys
from typing import Any

import django

django.setup()

from webapp.datasets.models import Dataset, DatasetVersion  # noqa: E402
from webapp.datasets.services import dataset_offer  # noqa: E402
from webapp.fleet.models import Worker  # noqa: E402
from webapp.fleet.services import worker_confirm, worker_revoke  # noqa: E402
from webapp.orgs.models import Membership, Organisation  # noqa: E402
from webapp.projects.models import Project  # noqa: E402
from webapp.runs.models import Run  # noqa: E402
from webapp.runs.services.approvals import approval_decide, run_submit  # noqa: E402
from webapp.runs.services.control import run_stop  # noqa: E402
from webapp.runs.services.drafts import PartyChoice, run_draft_save  # noqa: E402


def person(organisation: Organisation) -> Any:
    """The first member of an organisation."""
    return Membership.objects.filter(organisation=organisation).select_related("user").earliest("id").user


def confirm(**_: Any) -> list[str]:
    """Confirm every worker that waits."""
    waiting = list(Worker.objects.filter(state="pending").select_related("organisation"))
    for worker in waiting:
        worker_confirm(actor=person(worker.organisation), worker=worker, fingerprint=worker.fingerprint)
    return [worker.id for worker in waiting]


def revoke(*, worker: str) -> str:
    """Revoke a worker."""
    row = Worker.objects.get(name=worker)
    worker_revoke(actor=person(row.organisation), worker=row)
    return row.id


def launch(*, config: dict[str, Any], clients: list[str], server: str, name: str = "test") -> dict[str, Any]:
    """Offer the datasets, configure a run, submit it; `clients` and `server` are workers' names."""
    project = Project.objects.get()
    for dataset in Dataset.objects.select_related("organisation"):
        dataset_offer(actor=person(dataset.organisation), dataset=dataset, project=project)
    parties = [PartyChoice(role="server", worker_id=Worker.objects.get(name=server).id)]
    for client in clients:
        version = DatasetVersion.objects.filter(dataset__worker__name=client).latest("number")
        parties.append(PartyChoice("client", version.dataset.worker_id, version.id))
    owner = Worker.objects.get(name=clients[0]).organisation
    run = run_draft_save(
        actor=person(owner),
        project=project,
        organisation=owner,
        name=name,
        config=config,
        parties=parties,
        public_prompts=["Record:"],
    )
    run = run_submit(actor=person(owner), run=run)
    return state(run=run.id)


def approve(*, run: str) -> dict[str, Any]:
    """Every organisation approves."""
    row = Run.objects.get(id=run)
    for approval in row.approvals.filter(state="pending").select_related("organisation"):
        approval_decide(
            actor=person(approval.organisation),
            run=row,
            organisation=approval.organisation,
            approve=True,
            contract_hash=row.contract_hash,
        )
    return state(run=run)


def stop(*, run: str) -> dict[str, Any]:
    """The engineer stops the run."""
    row = Run.objects.get(id=run)
    run_stop(actor=person(row.organisation), run=row)
    return state(run=run)


def state(*, run: str) -> dict[str, Any]:
    """Where a run and its parts stand."""
    row = Run.objects.get(id=run)
    parts = row.participants.select_related("worker").order_by("role", "party")
    return {
        "id": row.id,
        "state": row.state,
        "step": row.step,
        "failure": row.failure,
        "summary": row.summary,
        "records": row.record_count,
        "adapters": list(row.adapters.values("id", "state", "checks", "evaluation", "bytes")),
        "parts": [
            {
                "id": part.id,
                "worker": part.worker.name,
                "role": part.role,
                "attempt": part.attempt,
                "phase": part.phase,
                "outcome": part.outcome,
                "error": part.error,
                "verdict": part.policy_verdict,
                "last_seq": part.last_seq,
            }
            for part in parts
        ],
    }


def workers(**_: Any) -> list[dict[str, Any]]:
    """Every worker as the hub knows it."""
    fields = ("id", "name", "state", "fingerprint", "version", "checks", "policy")
    return [dict(row) for row in Worker.objects.order_by("name").values(*fields)]


COMMANDS = {
    "confirm": confirm,
    "revoke": revoke,
    "launch": launch,
    "approve": approve,
    "stop": stop,
    "state": state,
    "workers": workers,
}

if __name__ == "__main__":
    answer = COMMANDS[sys.argv[1]](**json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}"))
    sys.stdout.write(json.dumps(answer, default=str))
