"""Joining: single-use tokens, what is refused and how it is said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.fleet.enrolment import enrolment_token_create, enrolment_token_revoke, worker_enrol
from webapp.fleet.models import EnrolmentToken, Worker, WorkerState
from webapp.fleet.services import worker_leave, worker_rename
from webapp.fleet.tests.factories import FACTS, fingerprint_of, make_certificate, make_worker
from webapp.orgs.tests.factories import OrganisationFactory, member
from workers.contracts import EnrolReply, EnrolRequest

URL = "/api/worker/v1/enrol"


def request_for(token: str, pem: str, **fields) -> EnrolRequest:
    return EnrolRequest(token=token, certificate_pem=pem, facts=FACTS, sent_at=timezone.now(), **fields)


def new_token(organisation=None, name: str = "ward-3"):
    organisation = organisation or OrganisationFactory()
    return enrolment_token_create(
        actor=member(organisation), organisation=organisation, worker_name=name, kind="data", labels=["gpu"]
    )


def post(message: EnrolRequest):
    return Client().post(URL, data=message.model_dump_json(), content_type="application/json")


@pytest.fixture(autouse=True)
def _no_throttle_from_other_tests():
    cache.clear()


@pytest.mark.django_db
def test_join_makes_a_worker_that_waits_for_confirmation():
    token = new_token()
    _, pem = make_certificate()
    answer = post(request_for(token.secret, pem, console_url="http://127.0.0.1:8733"))
    assert answer.status_code == 200
    reply = EnrolReply.model_validate_json(answer.content)
    worker = Worker.objects.get(pk=reply.worker_id)
    assert worker.state == WorkerState.PENDING
    assert worker.fingerprint == reply.fingerprint == fingerprint_of(pem)
    assert worker.labels == ["gpu"]
    assert "PUBLIC KEY" in reply.hub_public_key_pem
    assert AuditEntry.objects.filter(action="worker.enrolled", object_id=worker.id).exists()


@pytest.mark.promise(5, figure="0 in plain text")
@pytest.mark.django_db
def test_only_the_hash_of_a_token_is_stored():
    token = new_token()
    assert token.secret.startswith("clw_")
    assert len(token.secret) > 40
    dump = " ".join(str(row) for row in EnrolmentToken.objects.values()) + " ".join(
        str(row) for row in AuditEntry.objects.values()
    )
    assert token.secret not in dump
    assert 55 * 60 < (token.row.expires_at - timezone.now()).total_seconds() <= 60 * 60


@pytest.mark.django_db
def test_same_certificate_with_the_same_token_gets_the_same_worker_again():
    token = new_token()
    _, pem = make_certificate()
    first, second = post(request_for(token.secret, pem)), post(request_for(token.secret, pem))
    assert first.json()["worker_id"] == second.json()["worker_id"]
    assert Worker.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ("foreign", "CL-1401"),
        ("expired", "CL-1402"),
        ("used", "CL-1403"),
        ("revoked", "CL-1405"),
        ("clock", "CL-1406"),
        ("protocol", "CL-1407"),
    ],
)
def test_each_refusal_has_its_code_and_remedy_and_makes_no_worker(spoil, code):
    token = new_token()
    _, pem = make_certificate()
    message = request_for(token.secret, pem)
    if spoil == "foreign":
        message = request_for("clw_of_another_hub", pem)
    elif spoil == "expired":
        EnrolmentToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif spoil == "used":
        worker_enrol(request=request_for(token.secret, make_certificate()[1]))
    elif spoil == "revoked":
        enrolment_token_revoke(actor=token.row.created_by, token=token.row)
    elif spoil == "clock":
        message = message.model_copy(update={"sent_at": timezone.now() - timedelta(minutes=10)})
    elif spoil == "protocol":
        message = message.model_copy(update={"protocol": 99})
    before = Worker.objects.count()
    answer = post(message)
    assert answer.status_code >= 400
    assert answer.json()["code"] == code
    assert answer.json()["remedy"]
    assert Worker.objects.count() == before


@pytest.mark.django_db
def test_wrong_clock_is_told_with_both_times():
    _, pem = make_certificate()
    late = timezone.now() - timedelta(minutes=10)
    answer = post(request_for("clw_x", pem).model_copy(update={"sent_at": late})).json()
    assert answer["details"]["worker_time"].startswith(late.strftime("%Y-%m-%dT%H:%M"))
    assert answer["details"]["hub_time"]


@pytest.mark.django_db
@pytest.mark.parametrize("spoil", ["text", "other curve", "expired", "not self-signed"])
def test_unusable_certificates_are_refused(spoil):
    pem = {
        "text": lambda: "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----",
        "other curve": lambda: make_certificate(key=ec.generate_private_key(ec.SECP384R1()))[1],
        "expired": lambda: make_certificate(days=-1)[1],
        "not self-signed": lambda: _signed_by_another(),
    }[spoil]()
    answer = post(request_for(new_token().secret, pem))
    assert answer.json()["code"] == "CL-1408"
    assert not Worker.objects.exists()


def _signed_by_another() -> str:
    _, pem = make_certificate()
    lines = pem.splitlines()
    spoiled = lines[-2][:-6] + ("AAAAA=" if lines[-2].endswith("=") else "AAAAAA")
    return "\n".join([*lines[:-2], spoiled, lines[-1]])


@pytest.mark.django_db
def test_certificate_that_is_enrolled_already_is_refused():
    worker = make_worker(OrganisationFactory())
    answer = post(request_for(new_token().secret, worker.row.certificate_pem))
    assert answer.json()["code"] == "CL-1408"


@pytest.mark.django_db
def test_name_of_a_worker_that_left_can_be_given_again():
    organisation = OrganisationFactory()
    worker = make_worker(organisation, name="ward-3")
    with pytest.raises(AppError, match="CL-1416"):
        new_token(organisation)
    worker_leave(worker=worker.row)
    _, pem = make_certificate()
    assert post(request_for(new_token(organisation).secret, pem)).status_code == 200


@pytest.mark.django_db
def test_a_worker_s_name_looks_like_no_other_one_of_its_organisation():
    organisation = OrganisationFactory()
    make_worker(organisation, name="WARD-3")
    with pytest.raises(AppError, match="CL-1416"):
        new_token(organisation)  # of ward-3
    admin, other = member(organisation), make_worker(organisation, name="ward-10")
    for name in ("ward 3", "Ward_3"):
        with pytest.raises(AppError, match="CL-1416"):
            worker_rename(actor=admin, worker=other.row, name=name, labels=[])
    assert worker_rename(actor=admin, worker=other.row, name="Ward-10", labels=["gpu"]).labels == ["gpu"]
    make_worker(OrganisationFactory(), name="ward-3")


@pytest.mark.django_db
def test_unknown_token_guesses_are_throttled_after_ten_a_minute():
    _, pem = make_certificate()
    codes = [post(request_for(f"clw_guess{n}", pem)).status_code for n in range(12)]
    assert codes[:10] == [400] * 10
    assert codes[10:] == [429, 429]


@pytest.mark.django_db
def test_unknown_key_in_the_body_is_refused_without_repeating_its_value():
    _, pem = make_certificate()
    body = request_for("clw_x", pem).model_dump(mode="json") | {"row": "Patient Mary Canary, born 1950"}
    answer = Client().post(URL, data=body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["code"] == "CL-1415"
    assert "Canary" not in answer.content.decode()


@pytest.mark.promise(5, figure="1 of 50 succeeds")
@pytest.mark.django_db(transaction=True)
def test_exactly_one_of_fifty_parallel_redemptions_succeeds():
    token = new_token()
    pems = [make_certificate()[1] for _ in range(50)]

    def redeem(pem: str) -> str:
        try:
            worker_enrol(request=request_for(token.secret, pem))
        except AppError as error:
            return error.code
        finally:
            connection.close()
        return "joined"

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(redeem, pems))
    assert outcomes.count("joined") == 1
    assert outcomes.count("CL-1403") == 49
    assert Worker.objects.count() == 1
