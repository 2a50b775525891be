"""Signed requests: replayed, changed, late, from strangers and from workers that are shut out."""

from __future__ import annotations

import hashlib
import time

import pytest
from django.conf import settings
from django.test import Client

from webapp.audit.witness import restoration_record
from webapp.fleet.models import SpentNonce, Worker, WorkerModel, WorkerState
from webapp.fleet.services import worker_quarantine, worker_release, worker_revoke
from webapp.fleet.signing import restored_at
from webapp.fleet.tests.factories import SigningWorker, make_certificate, make_worker, rotation
from webapp.orgs.tests.factories import OrganisationFactory, member
from workers.contracts import HEADER_TIME, ModelRegistration, RotateRequest

MODEL = ModelRegistration(
    model_id="org/base", manifest_hash="a" * 64, config={"hidden_size": 64}, parameters=1, bytes=2
)
PATH = "/api/worker/v1/models"

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker() -> SigningWorker:
    return make_worker(OrganisationFactory())


def test_signed_request_is_served(worker):
    assert worker.post("models", MODEL).status_code == 200
    assert WorkerModel.objects.get().worker_id == worker.row.id


@pytest.mark.promise(7, figure="0 changes")
def test_replayed_request_is_refused_and_changes_nothing(worker):
    headers = worker.headers("POST", PATH, MODEL.model_dump_json().encode())
    assert worker.post("models", MODEL, headers=headers).status_code == 200
    WorkerModel.objects.all().delete()
    answer = worker.post("models", MODEL, headers=headers)
    assert answer.status_code == 409
    assert answer.json()["code"] == "CL-1409"
    assert not WorkerModel.objects.exists()


def test_a_call_that_was_signed_before_the_hub_was_restored_is_not_taken_again(worker):
    headers = worker.headers("POST", PATH, MODEL.model_dump_json().encode())
    restored_at.cache_clear()
    restoration_record(sequence=1, head="ab" * 32)
    try:
        assert worker.post("models", MODEL, headers=headers).json()["code"] == "CL-1409"
        assert worker.post("models", MODEL, at=time.time() + 1).status_code == 200
    finally:
        restored_at.cache_clear()


@pytest.mark.parametrize("offset", [-301, 301, -100_000])
def test_request_outside_the_time_window_is_refused_with_both_times(worker, offset):
    answer = worker.post("models", MODEL, at=time.time() + offset)
    assert answer.status_code == 401
    assert answer.json()["code"] == "CL-1406"
    assert set(answer.json()["details"]) == {"worker_time", "hub_time"}
    assert not SpentNonce.objects.exists()


def test_changed_body_path_method_or_time_breaks_the_signature(worker):
    raw = MODEL.model_dump_json().encode()
    headers = worker.headers("POST", PATH, raw)
    other = MODEL.model_copy(update={"bytes": 3})
    assert worker.post("models", other, headers=headers).json()["code"] == "CL-1411"
    assert worker.post("models?x=1", MODEL, headers=headers).json()["code"] == "CL-1411"
    assert worker.post("leave", MODEL, headers=headers).json()["code"] == "CL-1411"
    later = headers | {HEADER_TIME: str(time.time() + 1)}
    assert worker.post("models", MODEL, headers=later).json()["code"] == "CL-1411"
    assert worker.post("models", MODEL, headers=headers).status_code == 200


def test_unsigned_and_unknown_workers_get_401():
    assert Client().post(PATH, data="{}", content_type="application/json").status_code == 401
    stranger = make_worker(OrganisationFactory())
    Worker.objects.all().delete()
    assert stranger.post("models", MODEL).json()["code"] == "CL-1410"


def test_key_of_another_worker_does_not_sign_for_this_one(worker):
    other = make_worker(OrganisationFactory())
    forged = SigningWorker(row=worker.row, key=other.key)
    assert forged.post("models", MODEL).json()["code"] == "CL-1411"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (WorkerState.REVOKED, "CL-1412"),
        (WorkerState.LEFT, "CL-1412"),
        (WorkerState.QUARANTINED, "CL-1413"),
        (WorkerState.PENDING, "CL-1414"),
    ],
)
def test_worker_that_may_not_act_gets_403_and_its_code(state, code):
    worker = make_worker(OrganisationFactory(), state=state)
    answer = worker.post("models", MODEL)
    assert answer.status_code == 403
    assert answer.json()["code"] == code


def test_unsigned_caller_learns_nothing_of_a_workers_state():
    worker = make_worker(OrganisationFactory(), state=WorkerState.REVOKED)
    forged = SigningWorker(row=worker.row, key=make_certificate()[0])
    assert forged.post("models", MODEL).json()["code"] == "CL-1411"


def test_revocation_holds_from_the_next_call_on(worker):
    assert worker.get("assignments").status_code == 200
    worker_revoke(actor=member(worker.row.organisation), worker=worker.row)
    assert worker.get("assignments").status_code == 403


def test_quarantine_can_be_lifted(worker):
    admin = member(worker.row.organisation)
    worker_quarantine(actor=admin, worker=worker.row)
    assert worker.post("models", MODEL).json()["code"] == "CL-1413"
    worker_release(actor=admin, worker=worker.row)
    assert worker.post("models", MODEL).status_code == 200


def test_unconfirmed_worker_is_connected_but_gets_no_assignment():
    worker = make_worker(OrganisationFactory(), state=WorkerState.PENDING)
    assert worker.get("assignments").json()["assignments"] == []


def test_rotated_key_is_in_force_at_once(worker):
    key, pem = make_certificate()
    assert worker.post("rotate", rotation(worker, pem, key)).status_code == 200
    assert worker.post("models", MODEL).json()["code"] == "CL-1411"
    assert SigningWorker(row=worker.row, key=key).post("models", MODEL).status_code == 200


def test_a_certificate_whose_key_the_worker_does_not_hold_is_refused(worker):
    fingerprint, other = worker.row.fingerprint, make_worker(OrganisationFactory())
    key, pem = make_certificate()
    for request in (
        RotateRequest(certificate_pem=pem),
        RotateRequest(certificate_pem=pem, proof="AAAA"),
        rotation(worker, pem, worker.key),
        rotation(worker, pem, key, of=other.row.pk),  # the proof of another worker's rotation
    ):
        answer = worker.post("rotate", request)
        assert (answer.status_code, answer.json()["code"]) == (400, "CL-1408")
    worker.row.refresh_from_db()
    assert worker.row.fingerprint == fingerprint


def test_a_certificate_that_a_worker_had_is_refused_even_with_its_key(worker):
    key, pem = make_certificate()
    assert worker.post("rotate", rotation(worker, pem, key)).status_code == 200
    renewed = SigningWorker(row=worker.row, key=key)
    next_key, next_pem = make_certificate()
    assert renewed.post("rotate", rotation(renewed, next_pem, next_key)).status_code == 200
    other = make_worker(OrganisationFactory())
    for certificate, its_key in ((pem, key), (next_pem, next_key)):
        assert other.post("rotate", rotation(other, certificate, its_key)).json()["code"] == "CL-1408"


def test_worker_that_leaves_is_shut_out(worker):
    assert worker.post("leave").status_code == 200
    assert worker.post("models", MODEL).json()["code"] == "CL-1412"


def test_body_above_the_limit_is_refused_with_413(worker):
    big = MODEL.model_dump(mode="json") | {"config": {"x": "y" * settings.WORKER_BODY_MAX_BYTES}}
    answer = worker.post("models", big)
    assert answer.status_code == 413
    assert not WorkerModel.objects.exists()


def test_model_configuration_above_64_kib_is_refused(worker):
    answer = worker.post("models", MODEL.model_copy(update={"config": {"x": "y" * 70_000}}))
    assert answer.json()["code"] == "CL-1802"


def test_segment_upload_signs_the_announced_hash(worker):
    digest = hashlib.sha256(b"file").hexdigest()
    path = f"runs/run_0123456789abcdef/segments/head?participant_id=prt_x&attempt=1&sha256={digest}"
    assert worker.put(path, b"file", digest="0" * 64).json()["code"] == "CL-1411"
    assert worker.put(path, b"file", digest=digest).json()["code"] == "CL-1404"
