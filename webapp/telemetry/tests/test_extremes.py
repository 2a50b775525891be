"""No value that a worker can send breaks a page: each schema gets its extremes, then every page is opened.

A refusal has a code; what is taken can be shown to every party of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pydantic import BaseModel

from splitcore.errors import AppError
from webapp.fleet.tests.factories import SigningWorker, give_key
from webapp.fleet.worker_api.bodies import message_read
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import api_token, member
from webapp.runs.tests.factories import World, started
from webapp.telemetry.services import payload_clean
from webapp.telemetry.tests.extremes import EXTREMES, leaves, spoiled
from workers.contracts import (
    PAYLOADS,
    Claim,
    Exit,
    PolicyVerdict,
    Ready,
    TelemetryBatch,
)

pytestmark = pytest.mark.django_db
Message = dict[str, Any]
ERROR = {"code": "CL-1521", "message": "m", "remedy": "r", "where": "w"}
PAYLOAD: dict[str, Message] = {
    "metric": {
        "loss": 1.0, "tokens": 5, "seen_tokens": 5, "learning_rate": 0.1, "grad_norm": 1.0, "seconds": 0.5,
        "compute_s": 0.1, "send_s": 0.1, "wait_s": 0.1, "bytes_up": 5, "bytes_down": 5,
    },
    "eval": {"loss": 1.0, "tokens": 5, "rows": 2},
    "sample": {"prompts": ["p"], "base": ["b"], "tuned": ["t"]},
    "phase": {"phase": "training", "detail": "d"},
    "event": {"name": "checkpoint.saved", "detail": "d", "error": ERROR},
    "log": {"level": "info", "message": "m"},
}  # fmt: skip


def _record(kind: str, seq: int) -> Message:
    return {"seq": seq, "kind": kind, "step": seq, "at": timezone.now().isoformat(), "payload": PAYLOAD[kind]}


def _telemetry(kind: str) -> Callable[[World], tuple[str, Message]]:
    def message(w: World) -> tuple[str, Message]:
        part = w.part(0)
        record = _record(kind, part.last_seq + 1)
        body = {"participant_id": part.id, "attempt": part.attempt, "records": [record]}
        return f"runs/{w.run.id}/telemetry", body

    return message


def _part(w: World, path: str, **fields: Any) -> tuple[str, Message]:
    return f"runs/{w.run.id}/{path}", {"participant_id": w.part(0).id, **fields}


SCHEMAS: dict[str, type[BaseModel]] = {"verdict": PolicyVerdict, "claim": Claim, "ready": Ready, "exit": Exit}
DOORS: dict[str, Callable[[World], tuple[str, Message]]] = {
    **{kind: _telemetry(kind) for kind in PAYLOADS},
    "verdict": lambda w: _part(
        w,
        "verdict",
        contract_hash=w.run.contract_hash,
        accepted=False,
        refusals=[{"field": "f", "message": "m", "limit": "l"}],
    ),
    "claim": lambda w: _part(w, "claim", contract_hash=w.run.contract_hash, job_id="j"),
    "ready": lambda w: _part(w, "ready", attempt=w.part(0).attempt, host="h", port=9100),
    "exit": lambda w: _part(w, "exit", attempt=w.part(0).attempt, outcome="failed", error=ERROR, checkpoint_step=3),
}


@pytest.fixture
def w() -> World:
    return started()


def _answer(w: World, signer: SigningWorker, door: str, spoils: dict[Any, str]) -> None:
    """Send one spoiled message; whatever it is, the hub does not fail at it."""
    path, message = DOORS[door](w)
    answer = signer.post_raw(path, spoiled(message, spoils))
    assert answer.status_code < 500, (door, {k: v[:60] for k, v in spoils.items()}, answer.content[:300])
    if answer.status_code >= 400:
        assert answer.json()["code"].startswith("CL-")


def _read_all(w: World) -> None:
    """Every page, part, snapshot and export, as the owner and as a partner."""
    for organisation in w.organisations[:2]:
        person = member(organisation, Role.ADMIN)
        client = Client()
        client.force_login(person)
        token = {"authorization": f"Bearer {api_token(person, organisation)}"}
        for path in _pages(w):
            answer = client.get(path, headers=token if path.startswith("/api/") else {})
            assert answer.status_code in (200, 302, 404), (path, answer.status_code)
            if answer.streaming:
                b"".join(answer)


def _pages(w: World) -> list[str]:
    run = f"/runs/{w.run.id}"
    tabs = ("", "/live", "/logs", "/config", "/privacy", "/artefacts", "/approvals")
    exports = ("/snapshot.json", "/records.json", "/metrics.csv", "/metrics.json")
    api = ("", "/snapshot", "/records", "/metrics.csv")
    worker = w.workers[0]
    lists = ("/home", "/runs", "/inbox", "/projects", "/workers", "/datasets", "/audit", "/audit/export/csv")
    return [
        *(run + tab for tab in tabs),
        *(run + export for export in exports),
        *(f"/api/v1/runs/{w.run.id}{part}" for part in api),
        f"/runs/compare?run={w.run.id}",
        f"/runs/new?project={w.project.id}",
        f"/workers/{worker.id}",
        f"/api/v1/workers/{worker.id}",
        f"/projects/{w.project.id}",
        *(f"/datasets/{row.id}" for row in worker.datasets.all()),
        *lists,
    ]


def _schema_takes(door: str, raw: bytes) -> bool:
    """Whether the schemas let a message in; what they refuse has the code for it."""
    try:
        message = message_read(SCHEMAS.get(door, TelemetryBatch), raw)
        for record in getattr(message, "records", []):
            payload_clean(kind=record.kind, payload=record.payload)
    except AppError as error:
        return error.code != "CL-1415"
    return True


@pytest.mark.parametrize("door", DOORS)
def test_every_extreme_at_every_place_of_a_message_is_taken_or_refused_and_every_page_opens(w, door):
    signer = give_key(w.workers[0])
    refused, message = 0, DOORS[door](w)[1]
    for place in leaves(message):
        for token in EXTREMES:
            taken = _schema_takes(door, spoiled(message, {place: token}))
            refused += not taken
            if taken or refused % 50 == 1:  # all that the schemas take goes through the door, of the rest a part
                _answer(w, signer, door, {place: token})
    _read_all(w)
