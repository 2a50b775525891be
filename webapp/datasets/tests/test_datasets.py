"""Metadata in, tickets out, offers to projects; never a row."""

from __future__ import annotations

import base64
import html
import json
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.datasets.figures import RECEIVED, histogram_picture
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.datasets.selectors import datasets_visible_to
from webapp.datasets.services import dataset_offer, dataset_offer_withdraw
from webapp.datasets.tests.metadata import metadata
from webapp.datasets.tickets import upload_ticket_issue
from webapp.fleet.hub_key import hub_public_key_pem
from webapp.fleet.tests.factories import make_worker
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import OrganisationFactory, ParticipationFactory, ProjectFactory, member
from workers.contracts import DatasetMetadata, ModelRegistration

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker():
    return make_worker(OrganisationFactory(), console_url="http://worker.lan:8733/")


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_worker_registers_exactly_what_was_confirmed(worker):
    sent = metadata()
    assert worker.post("datasets", sent).status_code == 200
    version = DatasetVersion.objects.get()
    assert version.metadata == sent.model_dump(mode="json")
    assert version.dataset.organisation == worker.row.organisation
    assert AuditEntry.objects.filter(action="dataset.registered", object_id=version.dataset_id).count() == 1


def test_same_registration_again_changes_nothing_and_other_content_is_refused(worker):
    worker.post("datasets", metadata())
    assert worker.post("datasets", metadata()).status_code == 200
    answer = worker.post("datasets", metadata(digest="e" * 64, rows=5))
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1418")
    assert DatasetVersion.objects.get().metadata["rows"] == 100
    assert worker.post("datasets", metadata(version=2, digest="e" * 64)).status_code == 200
    assert [version.number for version in Dataset.objects.get().versions.all()] == [2, 1]


@pytest.mark.parametrize(
    "field",
    [
        {"rows_text": ["Patient Mary Canary"]},
        {"sample": "Patient Mary Canary"},
        {"columns": ["Patient Mary Canary " * 20]},
        {"columns": ["Canary"] * 65},
        {"name": "Patient: Mary Canary\nborn 1950"},
        {"tokenizer": "Canary" * 100},
        {"digest": "Canary"},
    ],
)
def test_metadata_has_no_room_for_a_row(worker, field):
    answer = worker.post("datasets", metadata().model_dump(mode="json") | field)
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")
    assert "Canary" not in answer.content.decode()
    assert not Dataset.objects.exists()


def test_ticket_is_signed_by_the_key_that_workers_pin_and_only_allows_to_add(worker):
    actor = member(worker.row.organisation, Role.STEWARD)
    ticket = upload_ticket_issue(actor=actor, worker=worker.row)
    body, signature = ticket.split(".")
    key = load_pem_public_key(hub_public_key_pem().encode())
    key.verify(decoded(signature), body.encode())
    with pytest.raises(InvalidSignature):
        key.verify(decoded(signature), body.encode() + b"x")
    claims = json.loads(decoded(body))
    assert claims["action"] == "add"
    assert (claims["user"], claims["org"]) == (actor.id, worker.row.organisation_id)
    assert claims["worker_id"] == worker.row.id
    assert 590 < claims["exp"] - time.time() <= 600
    other = json.loads(decoded(upload_ticket_issue(actor=actor, worker=worker.row).split(".")[0]))
    assert other["jti"] != claims["jti"]


def test_upload_page_carries_the_ticket_in_the_fragment_alone(worker, client):
    client.force_login(member(worker.row.organisation))
    page = client.post(f"/datasets/new/{worker.row.id}").content.decode()
    assert 'href="http://worker.lan:8733/add#t=' in page
    assert 'rel="noopener noreferrer"' in page


def test_upload_page_names_the_port_of_this_worker_s_own_page(client):
    worker = make_worker(OrganisationFactory(), console_url="http://127.0.0.1:8849/")
    client.force_login(member(worker.row.organisation))
    assert "ssh -L 8849:127.0.0.1:8849" in client.post(f"/datasets/new/{worker.row.id}").content.decode()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil", "http://", "ftp://worker"])
def test_address_that_is_no_web_page_is_not_kept(worker, url):
    from webapp.fleet.presence import hello_record
    from webapp.fleet.tests.factories import FACTS
    from workers.contracts import Hello

    hello_record(worker=worker.row, hello=Hello(facts=FACTS, console_url=url))
    worker.row.refresh_from_db()
    assert worker.row.console_url == ""


def test_partner_sees_a_dataset_while_it_is_offered_and_no_longer(worker):
    worker.post("datasets", metadata())
    dataset, owner = Dataset.objects.get(), member(worker.row.organisation)
    project = ProjectFactory(owner=worker.row.organisation)
    partner = member(ParticipationFactory(project=project).organisation)
    assert not datasets_visible_to(partner).exists()
    dataset_offer(actor=owner, dataset=dataset, project=project)
    assert datasets_visible_to(partner).get() == dataset
    dataset_offer_withdraw(actor=owner, dataset=dataset, project=project)
    assert not datasets_visible_to(partner).exists()


def test_the_table_of_datasets_names_their_format_in_words(worker, client):
    worker.post("datasets", metadata())
    client.force_login(member(worker.row.organisation))
    page = client.get("/datasets").content.decode()
    assert "<td>Prompt and completion</td>" in page
    assert "prompt_completion" not in page


def test_only_a_single_project_is_chosen_before_anybody_has_chosen(worker, client):
    worker.post("datasets", metadata())
    ProjectFactory(owner=worker.row.organisation)
    client.force_login(member(worker.row.organisation))
    page = f"/datasets/{Dataset.objects.get().pk}"
    assert "Choose a project" not in client.get(page).content.decode()
    ProjectFactory(owner=worker.row.organisation)
    assert '<option value="">Choose a project</option>' in client.get(page).content.decode()


def test_dataset_is_not_offered_to_a_project_of_others(worker):
    worker.post("datasets", metadata())
    with pytest.raises(AppError, match="CL-1601"):
        dataset_offer(actor=member(worker.row.organisation), dataset=Dataset.objects.get(), project=ProjectFactory())


def test_only_a_steward_or_administrator_offers(worker):
    worker.post("datasets", metadata())
    project = ProjectFactory(owner=worker.row.organisation)
    engineer = member(worker.row.organisation, Role.ENGINEER)
    with pytest.raises(AppError, match="CL-1601"):
        dataset_offer(actor=engineer, dataset=Dataset.objects.get(), project=project)


@pytest.mark.parametrize("lengths", [None, {"edges": [0], "counts": []}, {"edges": [1, 2, 3], "counts": [1]}])
def test_histogram_that_is_missing_or_odd_draws_nothing(lengths):
    assert histogram_picture({"token_lengths": lengths}) is None


def test_histogram_says_in_words_what_it_shows():
    picture = histogram_picture(metadata().model_dump(mode="json"))
    assert picture.summary == "Most rows have 0–10 tokens; the longest has 19."
    assert [bar.height for bar in picture.bars] == [160, pytest.approx(106.67)]


def test_a_dataset_s_name_looks_like_no_other_one_on_its_worker():
    worker, other = make_worker(OrganisationFactory()), make_worker(OrganisationFactory())
    assert worker.post("datasets", metadata(name="Letters")).status_code == 200
    answer = worker.post("datasets", metadata(name="Ietters"))
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1458")
    assert worker.post("datasets", metadata(name="Letters", version=2, digest="e" * 64)).status_code == 200
    assert other.post("datasets", metadata(name="Ietters")).status_code == 200


def test_a_worker_registers_so_much_and_no_more(monkeypatch):
    monkeypatch.setattr("webapp.datasets.services.VERSIONS", 2)
    monkeypatch.setattr("webapp.fleet.services.MODELS", 1)
    worker = make_worker(OrganisationFactory())
    for number in (1, 2, 1):  # the same again is no more
        assert worker.post("datasets", metadata(version=number)).status_code == 200
    answer = worker.post("datasets", metadata(version=3))
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1459")
    model = {"model_id": "tiny/llama", "manifest_hash": "a" * 64, "config": {}, "parameters": 1, "bytes": 1}
    codes = [
        worker.post("models", ModelRegistration.model_validate(model | change)).json().get("code", "")
        for change in ({}, {"parameters": 2}, {"manifest_hash": "b" * 64})
    ]
    assert codes[2] == "CL-1459"
    assert codes[1] == codes[0] != "CL-1459"


def test_the_page_before_an_upload_tells_every_field_that_the_hub_receives(client):
    assert sorted(field for fields in RECEIVED.values() for field in fields) == sorted(DatasetMetadata.model_fields)
    worker = make_worker(OrganisationFactory())
    client.force_login(member(worker.row.organisation))
    page = html.unescape(client.get("/datasets/new").content.decode())
    assert [sentence for sentence in RECEIVED if sentence not in page] == []
