"""A draft is its own organisation's: no clone, list or activity tells partners of it."""

from __future__ import annotations

import pytest
from django.test import Client

from webapp.orgs.models import Role
from webapp.orgs.tests.factories import api_token, member
from webapp.runs.models import Run
from webapp.runs.services import run_clone, run_draft_save
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db
SECRETS = ("Confidential plan", "7777", "0.0123")


def _browser(user):
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def _cloned():
    """Beta's clone of Alpha's run, which Alpha has then taken back to a draft."""
    w = make.world()
    make.submit(w)
    partner = member(w.organisations[1], Role.ENGINEER)
    clone = run_clone(actor=partner, run=w.run, organisation=w.organisations[1])
    training = {"steps": 7777, "batch_size": 2, "max_length": 16, "learning_rate": 0.0123}
    run_draft_save(
        actor=w.engineer,
        project=w.project,
        organisation=w.organisations[0],
        run=w.run,
        name="Confidential plan",
        config=make.config(training=training),
    )
    return w, partner, clone


def test_a_clone_tells_nothing_of_its_parents_draft():
    w, partner, clone = _cloned()
    browser = _browser(partner)
    assert browser.get(f"/runs/{w.run.id}").status_code == 404
    for path in ("", "/edit", "/config"):
        text = browser.get(f"/runs/{clone.id}{path}", follow=True).content.decode()
        assert not [secret for secret in (*SECRETS, w.run.id) if secret in text], path
    headers = {"Authorization": f"Bearer {api_token(partner, w.organisations[1])}"}
    assert Client().get(f"/api/v1/runs/{clone.id}", headers=headers).json()["parent"] is None
    listed = Client().get("/api/v1/runs", headers=headers).json()["items"]
    assert [one["parent"] for one in listed if one["id"] == clone.id] == [None]


def test_a_clone_is_compared_with_its_parent_as_it_was_cloned():
    _, partner, clone = _cloned()
    Run.objects.filter(pk=clone.pk).update(config={**clone.config, "training": {"steps": 5}})
    text = _browser(partner).get(f"/runs/{clone.id}/config").content.decode()
    assert "training.steps" in text
    assert "7777" not in text


def test_the_parent_is_named_to_whom_may_see_it():
    w = make.world()
    clone = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    for path in ("/edit", "/config"):
        assert f'href="/runs/{w.run.id}"' in _browser(w.engineer).get(f"/runs/{clone.id}{path}").content.decode()
    headers = {"Authorization": f"Bearer {api_token(w.engineer, w.organisations[0])}"}
    assert Client().get(f"/api/v1/runs/{clone.id}", headers=headers).json()["parent"] == w.run.id


def test_a_projects_activity_tells_partners_nothing_of_drafts():
    w = make.world()
    run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    path = f"/projects/{w.project.id}/activity"
    partner, own = _browser(member(w.organisations[1])), _browser(w.engineer)
    told = partner.get(path).content.decode()
    assert "Run created" not in told
    assert "Run cloned" not in told
    assert "Run cloned" in own.get(path).content.decode()
    make.submit(w)
    told = partner.get(path).content.decode()
    assert "Run created" in told
    assert "Run cloned" not in told
