"""The audit page: filter, export without formulas, verify."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.conf import settings
from django.test import Client

from webapp.audit.exports import csv_safe
from webapp.audit.models import AuditEntry
from webapp.audit.services import audit_record
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import MembershipFactory, OrganisationFactory, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def organisation():
    return OrganisationFactory()


@pytest.fixture
def client(organisation):
    client = Client()
    client.force_login(member(organisation, Role.AUDITOR))
    return client


def record(organisation, action="run.approved", **fields):
    return audit_record(actor=None, action=action, organisation_id=organisation.pk, **fields)


def test_the_log_is_filtered_by_action_text_and_day(client, organisation):
    record(organisation, "run.approved", object_id="run_one")
    record(organisation, "token.created", object_id="tok_two")
    assert "tok_two" not in client.get("/audit?action=run").content.decode()
    assert "run_one" in client.get("/audit?action=run").content.decode()
    assert "run_one" not in client.get("/audit?q=tok_two").content.decode()
    assert "run_one" not in client.get("/audit?start=2001-01-01&end=2001-01-02").content.decode()
    assert client.get("/audit?start=nonsense").status_code == 200


def test_lists_in_the_details_are_words(client, organisation):
    record(organisation, details={"scopes": ["read", "admin"], "refusals": [{"field": "models", "message": "None."}]})
    page = client.get("/audit").content.decode()
    assert "scopes: read, admin<" in page
    assert "refusals: field: models, message: None.<" in page


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_csv_acts_as_a_formula(client, organisation, start):
    evil = MembershipFactory(organisation=organisation).user
    evil.name = f"{start}cmd|' /C calc'!A0"
    audit_record(actor=evil, action="member.deactivated", organisation_id=organisation.pk, object_id=f"{start}1+1")
    text = client.post("/audit/export/csv").content.decode()
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert any(cell.startswith(f"'{start}") for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_an_ordinary_cell_is_left_alone():
    assert csv_safe("run.approved") == "run.approved"


def test_exports_are_downloads_and_hold_what_the_hash_covers(client, organisation):
    entry = record(organisation, details={"n": 1})
    answer = client.post("/audit/export/json")
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    line = json.loads(answer.content.decode().splitlines()[0])
    assert (line["hash"], line["details"]) == (entry.hash, {"n": 1})
    assert AuditEntry.objects.filter(action="audit.exported").exists()


def test_no_page_of_others_makes_an_export_in_a_readers_name(organisation):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(MembershipFactory(organisation=organisation, role=Role.AUDITOR).user)
    assert browser.get("/audit/export/csv").status_code == 405
    assert browser.post("/audit/export/csv").status_code == 403
    assert not AuditEntry.objects.filter(action="audit.exported").exists()
    page = browser.get("/audit?action=run").content.decode()
    assert 'action="/audit/export/csv?action=run"' in page
    token = browser.cookies[settings.CSRF_COOKIE_NAME].value
    assert browser.post("/audit/export/csv?action=run", {"csrfmiddlewaretoken": token}).status_code == 200
    assert AuditEntry.objects.filter(action="audit.exported").count() == 1


def test_an_export_holds_the_own_organisations_entries_alone(client, organisation):
    record(OrganisationFactory(), object_id="run_foreign")
    record(organisation, object_id="run_own")
    text = client.post("/audit/export/json").content.decode()
    assert "run_own" in text
    assert "run_foreign" not in text


def test_the_button_finds_a_flipped_byte(client, organisation):
    entry = record(organisation, object_id="run_1")
    record(organisation)
    assert "The chain is intact" in client.post("/audit/verify").content.decode()
    AuditEntry.objects.filter(pk=entry.pk).update(object_id="run_2")
    page = client.post("/audit/verify").content.decode()
    assert "The chain is broken" in page
    assert f"Entry {entry.pk}" in page
