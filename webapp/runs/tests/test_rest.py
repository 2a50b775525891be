"""The REST operations of runs: the whole main job by token."""

from __future__ import annotations

import json

import pytest

from webapp.orgs.tests.factories import api_token
from webapp.runs.models import Run
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


def _call(client, user, organisation, method, path, body=None, scopes=(), **headers):
    token = api_token(user, organisation, *scopes)
    return client.generic(
        method,
        f"/api/v1{path}",
        json.dumps(body or {}),
        "application/json",
        headers={"Authorization": f"Bearer {token}", **headers},
    )


def _body(w, **more):
    parties = [
        {"role": "client", "worker": w.workers[0].id, "dataset_version": w.versions[0].id},
        {"role": "client", "worker": w.workers[1].id, "dataset_version": w.versions[1].id},
        {"role": "server", "worker": w.workers[2].id, "receives_adapter": False},
    ]
    return {"project": w.project.id, "name": "By API", "config": make.config(), "parties": parties, **more}


def test_a_run_is_created_submitted_approved_and_stopped_by_tokens(client):
    w = make.world()
    own = w.organisations[0]
    answer = _call(client, w.engineer, own, "POST", "/runs", _body(w, submit=True, public_prompts=["Hello"]))
    assert answer.status_code == 201
    run = answer.json()
    assert (run["state"], len(run["approvals"])) == ("awaiting_approval", 3)
    for place in range(3):
        answer = _call(
            client, w.approvers[place], w.organisations[place], "POST", f"/runs/{run['id']}/approve",
            {"contract_hash": run["contract_hash"]},
        )  # fmt: skip
        assert answer.status_code == 200
    assert answer.json()["state"] == "starting"
    stopped = _call(client, w.engineer, own, "POST", f"/runs/{run['id']}/stop", {"reason": "Enough."})
    assert stopped.json()["state"] == "stopped"
    listed = _call(client, w.engineer, own, "GET", "/runs").json()
    assert {item["id"] for item in listed["items"]} == {run["id"], w.run.id}


def test_yaml_is_taken_as_well_and_a_wrong_key_is_named(client):
    w = make.world()
    own = w.organisations[0]
    text = f"model:\n  name_or_path: {make.MODEL}\nlora:\n  rank: 4\n"
    answer = _call(client, w.engineer, own, "POST", "/runs", _body(w, config=None, config_yaml=text))
    assert answer.json()["config"]["lora"] == {"rank": 4}
    answer = _call(client, w.engineer, own, "POST", "/runs", _body(w, config={"lora": {"rnak": 4}}))
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1001")
    assert any("Did you mean 'rank'?" in field["message"] for field in answer.json()["details"]["fields"])


def test_a_refused_submission_leaves_no_draft_behind(client):
    w = make.world()
    before = Run.objects.count()
    body = _body(w, submit=True, config=make.config(split={"head_layers": 9}))
    answer = _call(client, w.engineer, w.organisations[0], "POST", "/runs", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1002")
    assert Run.objects.count() == before


def test_the_same_idempotency_key_creates_one_run(client):
    w = make.world()
    token = api_token(w.engineer, w.organisations[0])
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}
    answers = [
        client.post("/api/v1/runs", json.dumps(_body(w)), "application/json", headers=headers).json() for _ in range(2)
    ]
    assert answers[0]["id"] == answers[1]["id"]


def test_a_token_without_the_scope_is_refused(client):
    w = make.world()
    answer = _call(client, w.engineer, w.organisations[0], "POST", "/runs", _body(w), scopes=("read",))
    assert (answer.status_code, answer.json()["code"]) == (403, "CL-1604")


def test_an_estimate_gives_figures_and_what_is_missing_and_stores_nothing(client):
    w = make.world()
    before = Run.objects.count()
    body = {"project": w.project.id, "config": make.config(), "parties": _body(w)["parties"]}
    answer = _call(client, w.engineer, w.organisations[0], "POST", "/runs/estimate", body).json()
    assert answer["problems"] == []
    assert answer["plan"]["server"]["incoming"]["expected"] > 0
    body["parties"] = []
    answer = _call(client, w.engineer, w.organisations[0], "POST", "/runs/estimate", body).json()
    assert "Choose a compute worker." in answer["problems"]
    assert Run.objects.count() == before


def test_the_parties_of_a_project_are_told_with_the_ids_that_a_run_takes(client):
    w = make.world()
    own = w.organisations[0]
    told = _call(client, w.engineer, own, "GET", f"/runs/parties?project={w.project.id}").json()
    assert [row["worker_name"] for row in told["compute"]] == [w.workers[2].name]
    assert all(row["online"] for row in told["data"] + told["compute"])
    [model] = told["models"]
    assert (model["model"], model["manifest"]) == (make.MODEL, make.MANIFEST)
    assert set(model["workers"]) == {worker.id for worker in w.workers}
    parties = [
        {"role": "client", "worker": row["worker"], "dataset_version": row["dataset_version"]} for row in told["data"]
    ]
    parties.append({"role": "server", "worker": told["compute"][0]["worker"]})
    answer = _call(client, w.engineer, own, "POST", "/runs", _body(w, parties=parties, submit=True))
    assert (answer.status_code, len(answer.json()["participants"])) == (201, 3)


def test_a_change_from_an_older_version_overwrites_nothing_and_names_the_field(client):
    w = make.world()
    own = w.organisations[0]
    read = _call(client, w.engineer, own, "GET", f"/runs/{w.run.id}").json()
    first = {"version": read["version"], "name": "First"}
    answer = _call(client, w.engineer, own, "PATCH", f"/runs/{w.run.id}", first)
    assert (answer.status_code, answer.json()["version"]) == (200, read["version"] + 1)
    answer = _call(client, w.engineer, own, "PATCH", f"/runs/{w.run.id}", {**first, "name": "Second"})
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1540")
    assert [conflict["path"] for conflict in answer.json()["details"]["conflicts"]] == ["name"]
    assert w.fresh().name == "First"
    answer = _call(client, w.engineer, own, "PATCH", f"/runs/{w.run.id}", {**first, "name": "First", "note": "New"})
    assert (answer.status_code, w.fresh().note) == (200, "New")


def test_an_archived_run_is_put_back_into_the_lists(client):
    w = make.world()
    own, address = w.organisations[0], f"/runs/{w.run.id}/archive"
    assert _call(client, w.engineer, own, "POST", address).json()["is_archived"]
    assert _call(client, w.engineer, own, "GET", "/runs").json()["items"] == []
    assert not _call(client, w.engineer, own, "POST", f"{address}?archived=false").json()["is_archived"]
    [listed] = _call(client, w.engineer, own, "GET", "/runs").json()["items"]
    assert listed["id"] == w.run.id
