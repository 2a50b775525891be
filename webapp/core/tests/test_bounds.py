"""What no door takes: numbers without an end, control characters, dates at the calendar's ends, ids of another form."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from webapp.accounts.scopes import Scope
from webapp.fleet.tests.factories import give_key
from webapp.orgs.tests.factories import api_token, member
from webapp.runs.tests.factories import World, claim, started
from webapp.telemetry.tests.batches import batch, metric
from workers.contracts import HEADER_SIGNATURE

pytestmark = pytest.mark.django_db


@pytest.fixture
def w() -> World:
    world = started()
    claim(world, 0)
    return world


def _page(w: World) -> Client:
    client = Client()
    client.force_login(w.engineer)
    return client


def _bearer(w: World) -> dict[str, str]:
    return {"authorization": f"Bearer {api_token(w.engineer, w.run.organisation, *Scope)}"}


@pytest.mark.parametrize(
    "path",
    [
        "/runs/%00",
        "/runs/run_%00",
        "/runs/RUN_0123456789ABCDEF",
        "/invite/inv_%00",
        "/datasets/%00",
        "/workers/%00",
        "/errors/%00",
        "/api/v1/runs/%00",
        "/api/v1/adapters/x",
        "/api/worker/v1/runs/%00/claim",
    ],
)
def test_an_address_that_has_not_the_form_of_an_id_names_nothing(w, path):
    answer = _page(w).get(path)
    assert answer.status_code == 404
    if path.startswith("/api/"):
        assert answer.json()["code"] in ("CL-1404", "CL-1611")


@pytest.mark.parametrize("path", ["/runs?q=%00", "/runs?project=%00", "/audit?q=a%1Fb"])
def test_control_characters_in_a_query_are_refused_with_their_code(w, path):
    answer = _page(w).get(path)
    assert answer.status_code == 422
    assert "CL-1620" in answer.content.decode()


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_the_audit_log_can_be_asked_for_any_day_of_the_calendar(w, day):
    client = Client()
    client.force_login(member(w.organisations[0]))
    days = f"?end={day}&start={day}"
    assert client.get(f"/audit{days}").status_code == 200
    assert client.post(f"/audit/export/csv{days}").status_code == 200


@pytest.mark.parametrize(
    "query", ["offset=100000000000000000000000", "offset=-1", "project=%00", f"project={'x' * 500}", "state=%1b"]
)
def test_a_query_of_the_api_has_bounds(w, query):
    answer = Client().get(f"/api/v1/runs?{query}", headers=_bearer(w))
    assert answer.status_code == 422
    assert answer.json()["code"] in ("CL-1001", "CL-1620")


@pytest.mark.parametrize(
    "body",
    [
        b'{"project": "x", "name": "a\\u0000b"}',
        b'{"project": "x", "name": "\\ud800"}',
        b'{"project": "x", "name": "n", "config": {"a": NaN}}',
        b'{"project": "x", "name": "n", "config": {"a": 1e999}}',
        b'{"project": "x", "name": "n", "config": {"a": 1' + b"0" * 400 + b"}}",
        b'{"project": "x", "name": "n", "config": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
        b"\xff\xfe",
        b"{",
    ],
)
def test_a_body_of_the_api_that_no_database_holds_is_refused(w, body):
    headers = _bearer(w)
    answer = Client().post("/api/v1/runs", body, content_type="application/json", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["code"] == "CL-1001"


@pytest.mark.parametrize("text", ["[" * 3000, "&a [*a]", "a: 2001-99-99", f"a: {'9' * 5000}", "x: .nan"])
def test_yaml_that_cannot_be_read_is_refused(w, text):
    headers = _bearer(w)
    body = {"project": w.run.project_id, "name": "n", "config_yaml": text}
    answer = Client().post("/api/v1/runs", json.dumps(body), content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1001")


@pytest.mark.parametrize(
    "payload",
    ['{"bytes_up": 1%s}' % ("0" * 400), '{"bytes_up": -1}', '{"seconds": NaN}', '{"loss": 1e999}', '{"tokens": 1e300}'],
)
def test_a_number_without_an_end_is_no_record(w, payload):
    message = batch(w.part(0), metric(1)).model_dump(mode="json")
    raw = json.dumps(message | {"records": [message["records"][0] | {"payload": "HERE"}]}).replace('"HERE"', payload)
    answer = give_key(w.workers[0]).post_raw(f"runs/{w.run.id}/telemetry", raw.encode())
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")


def test_the_time_of_a_worker_whose_clock_is_wrong_is_the_hubs(w):
    message = batch(w.part(0), metric(1)).model_dump(mode="json")
    message["records"][0]["at"] = "2070-01-01T00:00:00+00:00"
    answer = give_key(w.workers[0]).post(f"runs/{w.run.id}/telemetry", message)
    assert answer.status_code == 200
    (record,) = w.run.records.filter(kind="metric")
    assert abs((record.at - record.received_at).total_seconds()) < 60


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1e300", "yesterday"])
def test_a_record_from_the_calendars_end_is_refused(w, when):
    message = batch(w.part(0), metric(1)).model_dump(mode="json")
    message["records"][0]["at"] = when
    answer = give_key(w.workers[0]).post(f"runs/{w.run.id}/telemetry", message)
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")


def test_a_signature_that_is_not_ascii_is_wrong_and_no_fault_of_the_hub(w):
    signed = give_key(w.workers[0]).headers("GET", "/api/worker/v1/assignments")
    answer = Client().get("/api/worker/v1/assignments", headers=signed | {HEADER_SIGNATURE: "é" * 20})
    assert (answer.status_code, answer.json()["code"]) == (401, "CL-1411")


def test_a_fault_of_the_hub_has_a_code_that_no_proxy_sends(w, monkeypatch):
    monkeypatch.setattr("webapp.fleet.worker_api.runs.batch_store", lambda **_: 1 / 0)
    signed = give_key(w.workers[0])
    body = batch(w.part(0), metric(1)).model_dump_json().encode()
    path = f"/api/worker/v1/runs/{w.run.id}/telemetry"
    headers = signed.headers("POST", path, body)
    client = Client(raise_request_exception=False)
    answer = client.post(path, body, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "CL-1910")
