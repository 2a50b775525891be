"""What people type where a number belongs comes back with a message, whatever it is."""

from __future__ import annotations

import pytest
from django.test import Client

from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db
NO_NUMBERS = ["\u00b2", "--5", "1" * 5000, "\u0665", "1e999", "nan", "0x10", "\u2460", "-"]


def _edit(w, **values):
    browser = Client()
    browser.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    own = w.organisations[0].id
    data = {"name": "x", f"dataset.{own}": w.versions[0].id, "overrides.shown": own, "action": "save", **values}
    preview = browser.post("/runs/preview", {"project": w.project.id, "run": w.run.id, **data})
    return preview, browser.post(f"/runs/{w.run.id}/edit", {**data, "version": w.fresh().draft_version})


@pytest.mark.parametrize("text", NO_NUMBERS, ids=range(len(NO_NUMBERS)))
@pytest.mark.parametrize("path", ["training.steps", "training.learning_rate", "override"])
def test_what_is_no_number_is_kept_as_typed(path, text):
    w = make.world()
    field = f"party.{w.organisations[0].id}.rank" if path == "override" else path
    for response in _edit(w, **{field: text}):
        assert response.status_code in (200, 204, 302)


def test_a_rate_that_is_no_number_is_cloned_as_it_is():
    w = make.world()
    for training in ({"learning_rate": "abc"}, "abc", {"learning_rate": True}):
        w.run.config = {**w.run.config, "training": training}
        w.run.save()
        browser = Client()
        browser.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
        assert browser.post(f"/runs/{w.run.id}/clone", {"lower_rate": "1"}).status_code == 302
        assert w.run.clones.latest("created_at").config["training"] == training
