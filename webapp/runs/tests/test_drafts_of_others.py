"""A draft is its own organisation's: no clone, list or activity tells partners of it."""

from __future__ import annotations

import pytest
from django.test import Client

from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import api_token, member
from webapp.runs.models import Run
from webapp.runs.services import run_clone, run_delete, run_draft_save
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


def _draft(w):
    return run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])


def test_a_draft_that_nobody_else_saw_is_deleted_from_its_form_and_the_log_keeps_its_name():
    w = make.world()
    draft = _draft(w)
    browser = _browser(w.engineer)
    assert f"/runs/{draft.id}/delete" in browser.get(f"/runs/{draft.id}/edit").content.decode()
    assert browser.post(f"/runs/{draft.id}/delete").url == "/runs"
    assert not Run.objects.filter(pk=draft.pk).exists()
    entry = AuditEntry.objects.get(action="run.deleted")
    assert (entry.object_id, entry.details) == (draft.id, {"name": draft.name})
    assert Run.objects.filter(pk=w.run.pk).exists(), "the parent stays"


def test_a_draft_is_deleted_by_nobody_of_another_organisation():
    w = make.world()
    draft, partner = _draft(w), member(w.organisations[1], Role.ADMIN)
    assert _browser(partner).post(f"/runs/{draft.id}/delete").status_code == 404
    with pytest.raises(AppError) as caught:
        run_delete(actor=partner, run=draft)
    assert caught.value.code == "CL-1601"
    assert Run.objects.filter(pk=draft.pk).exists()


def test_a_draft_that_was_submitted_before_is_archived_instead_and_keeps_what_others_decided():
    w, _, _ = _cloned()
    with pytest.raises(AppError) as caught:
        run_delete(actor=w.engineer, run=w.run)
    assert (caught.value.code, caught.value.remedy) == ("CL-1501", "Archive it instead.")
    browser = _browser(w.engineer)
    page = browser.get(f"/runs/{w.run.id}/edit").content.decode()
    assert f"/runs/{w.run.id}/delete" not in page
    assert f"/runs/{w.run.id}/archive" in page
    browser.post(f"/runs/{w.run.id}/archive")
    assert f"/runs/{w.run.id}/restore" in browser.get(f"/runs/{w.run.id}/edit").content.decode()


def test_a_submitted_run_is_not_deleted():
    w = make.world()
    make.submit(w)
    with pytest.raises(AppError) as caught:
        run_delete(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1501"
