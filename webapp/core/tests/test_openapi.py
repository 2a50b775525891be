"""The OpenAPI document: one name for one form, and every refusal that a caller can meet."""

from __future__ import annotations

import json

import pytest
from ninja import Schema

from webapp.api import api, field_name
from webapp.openapi import ERROR, MEANINGS, operations
from webapp.orgs.tests.factories import OrganisationFactory, api_token, member


@pytest.fixture(scope="module")
def document():
    return json.loads(json.dumps(api.get_openapi_schema()))


def test_the_document_is_valid_openapi(document):
    # here: its import compiles 38 grammars, seconds in each process that collects this file
    from openapi_spec_validator import validate

    validate(document)


def test_no_two_forms_share_a_name():
    found: dict[str, set[str]] = {}
    waiting = [Schema]
    while waiting:
        waiting += (children := waiting.pop().__subclasses__())
        for form in children:
            if form.__module__.startswith("webapp."):
                found.setdefault(form.__name__, set()).add(form.__module__)
    assert len(found) > 20
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_every_operation_names_its_refusals_in_the_one_form(document):
    seen = 0
    for method, operation in operations(document):
        answers = {int(status): answer for status, answer in operation["responses"].items()}
        assert {401, 403, 429, 503} <= answers.keys(), operation["operationId"]
        if "requestBody" in operation:
            assert {404, 413, 422} <= answers.keys(), operation["operationId"]
        if method != "get":
            assert 409 in answers, operation["operationId"]
        for status in answers.keys() & MEANINGS.keys():
            assert answers[status]["content"]["application/json"]["schema"]["$ref"] == ERROR
        assert "Retry-After" in answers[429]["headers"]
        seen += 1
    assert seen > 50


def test_the_form_of_errors_is_what_is_answered(document, client):
    answer = client.get("/api/v1/me")
    assert answer.status_code == 401
    assert set(answer.json()) == set(document["components"]["schemas"]["ErrorOut"]["required"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/runs?offset=38350374875782094848",
        "/api/v1/runs?limit=100000000000000000000",
        "/api/v1/audit?after=38350374875782094848",
    ],
)
def test_a_number_beyond_all_bounds_is_refused_and_named(client, address):
    token = api_token(member(organisation := OrganisationFactory()), organisation, "read", "admin")
    answer = client.get(address, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 422
    assert answer.json()["details"]["fields"][0]["field"] == address.split("?")[1].split("=")[0]


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (("body", "payload"), "body"),
        (("body", "payload", "parties", 0, "role"), "parties.0.role"),
        (("query", "offset"), "offset"),
        (("path", "run_id"), "run_id"),
    ],
)
def test_a_refused_field_has_the_name_that_its_caller_knows(location, name):
    assert field_name(location) == name
