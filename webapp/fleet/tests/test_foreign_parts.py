"""Promises 3, 7 and 28: a worker reaches its own part alone, once, and only under its newest attempt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from django.forms.models import model_to_dict

from webapp.adapters.models import Adapter, Segment
from webapp.audit.models import AuditEntry
from webapp.fleet.tests.factories import SigningWorker, give_key, make_worker
from webapp.orgs.tests.factories import OrganisationFactory
from webapp.runs.models import Participant, Run
from webapp.runs.tests.factories import World, claim, segment_bytes, started
from webapp.telemetry.models import Record
from webapp.telemetry.tests.batches import batch, metric
from workers.contracts import Check, Claim, Exit, PolicyVerdict, Ready, VerifyReport

pytestmark = pytest.mark.django_db
Call = Callable[[World, SigningWorker, Participant, int], object]


def _post(name: str, message: Callable[[World, Participant, int], object]) -> Call:
    return lambda w, worker, part, attempt: worker.post(f"runs/{w.run.id}/{name}", message(w, part, attempt))


def _segment(w: World, worker: SigningWorker, part: Participant, attempt: int):
    content = segment_bytes(w, "body", part.party, range(1, 4))
    digest = hashlib.sha256(content).hexdigest()
    query = f"participant_id={part.id}&attempt={attempt}&sha256={digest}"
    return worker.put(f"runs/{w.run.id}/segments/body?{query}", content, digest)


def _tokenizer(w: World, worker: SigningWorker, part: Participant, attempt: int):
    digest = hashlib.sha256(b"{}").hexdigest()
    query = f"participant_id={part.id}&attempt={attempt}&sha256={digest}"
    return worker.put(f"runs/{w.run.id}/tokenizer/manifest.json?{query}", b"{}", digest)


FENCED: dict[str, Call] = {
    "ready": _post("ready", lambda w, p, n: Ready(participant_id=p.id, attempt=n, host="10.0.0.1", port=9100)),
    "telemetry": _post("telemetry", lambda w, p, n: batch(p, metric(1), attempt=n)),
    "exit": _post("exit", lambda w, p, n: Exit(participant_id=p.id, attempt=n, outcome="done")),
    "segment": _segment,
    "tokenizer": _tokenizer,
}
CALLS: dict[str, Call] = FENCED | {
    "verdict": _post(
        "verdict", lambda w, p, n: PolicyVerdict(participant_id=p.id, contract_hash=w.run.contract_hash, accepted=False)
    ),
    "claim": _post("claim", lambda w, p, n: Claim(participant_id=p.id, contract_hash=w.run.contract_hash, job_id="x")),
    "verified": _post(
        "verified",
        lambda w, p, n: VerifyReport(
            participant_id=p.id, adapter_id="adp_x", adapter_sha256="a" * 64, checks=[Check(name="x", status="ok")]
        ),
    ),
    "archive": lambda w, worker, p, n: worker.get(f"runs/{w.run.id}/adapters/adp_x?participant_id={p.id}"),
}


def everything() -> list[object]:
    """All rows that a worker's call could change."""
    tables = (Run, Participant, Record, Segment, Adapter, AuditEntry)
    return [model_to_dict(row) for table in tables for row in table.objects.order_by("pk")]


@pytest.fixture
def w() -> World:
    return started()


@pytest.mark.promise(3, figure="404, nothing changed")
@pytest.mark.parametrize("name", CALLS)
def test_part_of_another_worker_does_not_exist_and_nothing_changes(w, name):
    part = w.part(2)
    callers = [make_worker(OrganisationFactory()), give_key(w.workers[0])]
    before = everything()
    for caller in callers:
        answer = CALLS[name](w, caller, part, part.attempt)
        assert (answer.status_code, answer.json()["code"]) == (404, "CL-1404")
    assert everything() == before


@pytest.mark.parametrize("name", CALLS)
def test_own_part_under_another_runs_address_does_not_exist(w, name):
    worker, part = give_key(w.workers[2]), w.part(2)
    w.run.id = "run_0000000000000000"
    answer = CALLS[name](w, worker, part, part.attempt)
    assert answer.status_code == 404


@pytest.mark.promise(28)
@pytest.mark.parametrize("name", FENCED)
def test_worker_that_wakes_after_its_part_was_taken_up_anew_changes_nothing(w, name):
    worker, old = give_key(w.workers[2]), w.part(2).attempt
    assert claim(w, 2) == old + 1
    before = everything()
    answer = FENCED[name](w, worker, w.part(2), old)
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1503")
    assert everything() == before


def test_recorded_request_sent_again_changes_nothing(w):
    worker, part = give_key(w.workers[0]), w.part(0)
    path, message = f"runs/{w.run.id}/telemetry", batch(part, metric(1))
    headers = worker.headers("POST", f"/api/worker/v1/{path}", message.model_dump_json().encode())
    assert worker.post(path, message, headers=headers).status_code == 200
    before = everything()
    assert worker.post(path, message, headers=headers).status_code == 409
    assert everything() == before


def test_assignments_name_the_own_parts_alone(w):
    other = started(prefix="Other ")
    listed = give_key(w.workers[0]).get("assignments").json()["assignments"]
    assert [entry["participant_id"] for entry in listed] == [w.part(0).id]
    assert other.run.id not in str(listed)
