"""No value that a worker can send breaks a page: each schema gets its extremes, then every page is opened.

A refusal has a code; what is taken can be shown to every party of the run.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pydantic import BaseModel

from splitcore.errors import AppError
from webapp.adapters.models import Adapter
from webapp.adapters.tests.factories import finished
from webapp.datasets.models import DatasetVersion
from webapp.fleet import worker_urls
from webapp.fleet.consumers import message_parse
from webapp.fleet.enrolment import enrolment_token_create
from webapp.fleet.models import Worker
from webapp.fleet.presence import beat_record, hello_record
from webapp.fleet.tests.factories import SigningWorker, give_key, make_certificate, rotation
from webapp.fleet.worker_api.bodies import message_read
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import api_token, member
from webapp.runs.tests.factories import CONFIG, World, started
from webapp.telemetry.services import payload_clean
from webapp.telemetry.tests.extremes import EXTREMES, leaves, spoiled
from workers.contracts import (
    PAYLOADS,
    PROTOCOL_VERSION,
    Beat,
    Claim,
    DatasetMetadata,
    EnrolRequest,
    Exit,
    Hello,
    ModelRegistration,
    PolicyVerdict,
    Ready,
    RotateRequest,
    TelemetryBatch,
    VerifyReport,
    WitnessReport,
)

pytestmark = pytest.mark.django_db
Body = dict[str, Any]
ERROR = {"code": "CL-1521", "message": "m", "remedy": "r", "where": "w"}
CHECK = {"name": "clock", "status": "ok", "detail": "d", "code": "CL-1406", "remedy": "r"}
GPU = {"index": 0, "name": "g", "memory_bytes": 5, "free_bytes": 5, "driver": "d", "busy": 3}
HARDWARE: Body = {
    "cutlayer": "0.1.0", "python": "3.11", "torch": "2.4", "platform": "p", "cpus": 2, "memory_bytes": 5,
    "disk_free_bytes": 5, "gpus": [GPU], "speed": {"device": "cpu", "float32": 1e9, "bfloat16": 1e9},
    "tensor_host": "h", "tensor_ports": [9100, 9200],
}  # fmt: skip
PAYLOAD: dict[str, Body] = {
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


@dataclass
class Stage:
    """A run, one of its workers that sends, and its adapter where the door needs one."""

    w: World
    signer: SigningWorker
    adapter: Adapter | None = None


@dataclass(frozen=True)
class Door:
    """Where a worker's message comes in: its schema, a message that is taken, and how it is sent."""

    schema: type[BaseModel]
    message: Callable[[Stage], Body]
    path: str = ""  # of the worker API, `{run}` for the run's id; none for the socket
    place: int = 0  # of the worker that sends
    begin: Callable[[], tuple[World, Adapter | None]] = lambda: (started(), None)


def _record(kind: str, seq: int) -> Body:
    return {"seq": seq, "kind": kind, "step": 1, "at": timezone.now().isoformat(), "payload": PAYLOAD[kind]}


def _telemetry(kind: str) -> Door:
    def message(at: Stage) -> Body:
        part = at.w.part(0)
        record = _record(kind, part.last_seq + 1)
        return {"participant_id": part.id, "attempt": part.attempt, "records": [record]}

    return Door(TelemetryBatch, message, "runs/{run}/telemetry")


def _part(schema: type[BaseModel], name: str, *told: str, place: int = 0, **fields: Any) -> Door:
    """A door of the run's part; `told` are facts of the run or the part that the message repeats."""

    def message(at: Stage) -> Body:
        part = at.w.part(place)
        facts = {"contract_hash": at.w.run.contract_hash, "attempt": part.attempt}
        return {"participant_id": part.id, **{key: facts[key] for key in told}, **fields}

    return Door(schema, message, f"runs/{{run}}/{name}", place)


def _verified(at: Stage) -> Body:
    assert at.adapter is not None
    result = {"base_loss": 4.0, "base_exact_match": 0.1, "loss": 2.0, "exact_match": 0.6, "rows": 10, "tokens": 100}
    return {
        "participant_id": at.w.part(0).id, "adapter_id": at.adapter.id, "adapter_sha256": at.adapter.sha256,
        "checks": [CHECK], "evaluation": result,
    }  # fmt: skip


def _enrol(at: Stage) -> Body:
    organisation = at.w.organisations[0]
    name = f"worker {Worker.objects.count()}-{secrets.token_hex(4)}"
    token = enrolment_token_create(
        actor=member(organisation), organisation=organisation, worker_name=name, kind="data", labels=[]
    )
    return {
        "token": token.secret, "certificate_pem": make_certificate()[1], "protocol": PROTOCOL_VERSION,
        "facts": HARDWARE, "console_url": "http://127.0.0.1:8733", "sent_at": timezone.now().isoformat(),
    }  # fmt: skip


def _rotate(at: Stage) -> Body:
    key, pem = make_certificate()
    return rotation(at.signer, pem, key).model_dump(mode="json")


def _dataset(at: Stage) -> Body:
    return {
        "name": "rows", "version": DatasetVersion.objects.count() + 1, "format": "text", "source": "csv", "rows": 3,
        "train_rows": 2, "heldout_rows": 1, "columns": ["c"], "tokenizer": "t", "longest_tokens": 7,
        "token_lengths": {"edges": [0, 4, 8], "counts": [2, 1]}, "digest": "ab" * 32,
        "created_at": timezone.now().isoformat(),
    }  # fmt: skip


def _model(at: Stage) -> Body:
    return {
        "model_id": "acme/tiny", "revision": "main", "manifest_hash": "a" * 64, "config": dict(CONFIG),
        "parameters": 10, "bytes": 40,
    }  # fmt: skip


def _beat(at: Stage) -> Body:
    part = at.w.part(0)
    lane = {"run_id": at.w.run.id, "participant_id": part.id, "attempt": part.attempt, "phase": "training", "step": 3}
    return {"type": "beat", "lanes": [{**lane, "role": "client", "kind": "train"}]}


def _hello(at: Stage) -> Body:
    policy = {
        "topologies": ["u"], "min_head_layers": 1, "min_tail_layers": 1, "models": ["m"], "max_steps": 5,
        "hosts": ["h"], "peer_trust": "listed",
    }  # fmt: skip
    return {
        "type": "hello", "protocol": PROTOCOL_VERSION, "facts": HARDWARE, "checks": [CHECK], "policy": policy,
        "console_url": "http://127.0.0.1:8733",
    }  # fmt: skip


def _witness(at: Stage) -> Body:
    kept, shown = {"epoch": "e", "sequence": 9, "head": "ab" * 32}, {"epoch": "e", "sequence": 5, "head": "cd" * 32}
    return {"loss": {"kind": "lost", "kept": kept, "shown": shown}}


SOCKET: dict[str, Door] = {"hello": Door(Hello, _hello), "beat": Door(Beat, _beat)}
DOORS: dict[str, Door] = {
    **{kind: _telemetry(kind) for kind in PAYLOADS},
    "verdict": _part(
        PolicyVerdict, "verdict", "contract_hash", accepted=False,
        refusals=[{"field": "f", "message": "m", "limit": "l"}],
    ),
    "claim": _part(Claim, "claim", "contract_hash", job_id="j", highest_attempt=1),
    "ready": _part(Ready, "ready", "attempt", place=2, host="h", port=9100),
    "exit": _part(Exit, "exit", "attempt", outcome="failed", error=ERROR, checkpoint_step=3),
    "verified": Door(VerifyReport, _verified, "runs/{run}/verified", begin=finished),
    "datasets": Door(DatasetMetadata, _dataset, "datasets"),
    "models": Door(ModelRegistration, _model, "models"),
    "rotate": Door(RotateRequest, _rotate, "rotate"),
    "enrol": Door(EnrolRequest, _enrol, "enrol"),
    "witness": Door(WitnessReport, _witness, "witness"),
    **SOCKET,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


def _answer(at: Stage, door: Door, raw: bytes) -> HttpResponse | None:
    """Send one message; what the hub answers, or None where it takes a socket's message."""
    if door.path:
        cache.clear()  # wrong tokens are counted, and this test sends many
        return at.signer.post_raw(door.path.format(run=at.w.run.id), raw)
    try:
        _take(at.signer.row, raw.decode())
    except AppError as error:
        return HttpResponse(json.dumps(error.to_dict()), status=400)
    return None


def _take(worker: Worker, text: str) -> None:
    """What the control socket does with a message of a permitted size (webapp/fleet/consumers.py)."""
    message = message_parse(text)
    if isinstance(message, Hello):
        hello_record(worker=worker, hello=message)
    else:
        beat_record(worker=worker, beat=message)


def _check(at: Stage, door: Door, raw: bytes) -> None:
    """Whatever is sent, the hub does not fail at it."""
    answer = _answer(at, door, raw)
    if answer is not None:
        assert answer.status_code < 500, (raw[:300], answer.content[:300])
        if answer.status_code >= 400:
            assert json.loads(answer.content)["code"].startswith("CL-")


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
    lists = (
        "/home",
        "/runs",
        "/inbox",
        "/projects",
        "/workers",
        "/datasets",
        "/audit",
        "/org/workers",
    )
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
        *(f"/workers/{row.id}" for row in Worker.objects.filter(organisation=w.organisations[0])[:20]),
        *(f"/adapters/{row.id}" for row in w.run.adapters.all()),
        *lists,
    ]


def _schema_takes(door: Door, raw: bytes) -> bool:
    """Whether the schemas let a message in; what they refuse has the code for it."""
    try:
        message = message_read(door.schema, raw)
        for record in getattr(message, "records", []):
            payload_clean(kind=record.kind, payload=record.payload)
    except AppError as error:
        return error.code != "CL-1415"
    return True


def test_every_call_with_a_body_has_a_door_here():
    without = {"leave", "assignments", "segment", "tokenizer", "adapter_archive"}  # no body, or a file
    calls = {pattern.name for pattern in worker_urls.urlpatterns} - without - {"telemetry"}
    assert calls | {*PAYLOADS, *SOCKET} == set(DOORS)


# Doors in the order in which one run takes them; the pages are opened once for each group.
GROUPS = (
    ("metric", "eval"),
    ("sample", "phase", "event", "log"),
    ("verdict", "claim", "beat", "hello"),
    ("datasets", "models", "witness", "rotate"),
    ("enrol",),
    ("ready",),
    ("exit",),
    ("verified",),
)


def test_every_door_is_in_one_group():
    assert sorted(name for group in GROUPS for name in group) == sorted(DOORS)


@pytest.mark.timeout(900)  # thousands of messages and hundreds of pages, beside tests that come first
@pytest.mark.parametrize("group", GROUPS, ids="-".join)
def test_every_extreme_at_every_place_of_a_message_is_taken_or_refused_and_every_page_opens(group):
    w, adapter = DOORS[group[0]].begin()
    signer = give_key(w.workers[DOORS[group[0]].place])
    at = Stage(w, signer, adapter)
    for place, name in enumerate(group):
        if place:
            _send_whole(at, DOORS[name])  # what was sent before has closed no door
        _spoil(at, DOORS[name])
    _read_all(w)


def _spoil(at: Stage, door: Door) -> None:
    """Send a door's message with each extreme at each of its places."""
    refused = 0
    for place in leaves(door.message(at)):
        for token in EXTREMES:
            raw = spoiled(door.message(at), {place: token})
            taken = _schema_takes(door, raw)
            refused += not taken
            if taken or refused % 50 == 1:  # all that the schemas take goes through the door, of the rest a part
                _check(at, door, raw)
    assert refused, "no extreme is refused: the bounds are gone"


@pytest.mark.parametrize("name", DOORS)
def test_the_message_that_is_spoiled_is_taken_as_it_stands(name):
    door = DOORS[name]
    w, adapter = door.begin()
    _send_whole(Stage(w, give_key(w.workers[door.place]), adapter), door)


def _send_whole(at: Stage, door: Door) -> None:
    answer = _answer(at, door, json.dumps(door.message(at)).encode())
    assert answer is None or answer.status_code == 200, answer.content
