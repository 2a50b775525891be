"""Workers that hold a base model under differing revisions: said before anybody approves, with who holds which."""

from __future__ import annotations

import html

import pytest
from django.test import Client

from splitcore.errors import AppError
from webapp.fleet.models import WorkerModel
from webapp.runs.models import RunState
from webapp.runs.tests import factories as make
from webapp.runs.tests.factories import World

pytestmark = pytest.mark.django_db
OTHER = "f" * 64


@pytest.fixture
def w() -> World:
    return make.world()


def hold(w: World, place: int, revision: str, manifest: str = make.MANIFEST) -> None:
    WorkerModel.objects.update_or_create(
        worker=w.workers[place],
        model_id=make.MODEL,
        manifest_hash=manifest,
        defaults={"revision": revision, "config": make.CONFIG, "shape": make.SHAPE},
    )


def test_differing_revisions_are_refused_at_submission_with_who_has_which(w: World):
    hold(w, 1, "v2")
    with pytest.raises(AppError) as caught:
        make.submit(w)
    assert caught.value.code == "CL-1005"
    manifest = make.MANIFEST[:8]
    for place, named in ((0, "no revision"), (1, "revision v2"), (2, "no revision")):
        assert f"{w.workers[place].name} has {named} (manifest {manifest})" in caught.value.message
    assert w.fresh().state == RunState.DRAFT


def test_the_configure_page_names_them_before_the_submission(w: World):
    hold(w, 1, "v2")
    client = Client()
    client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    page = html.unescape(client.get(f"/runs/{w.run.id}/edit").content.decode())
    assert "The workers have different versions of it" in page
    assert f"{w.workers[1].name} has revision v2" in page


def test_of_several_models_the_one_that_all_hold_alike_is_pinned(w: World):
    hold(w, 1, "v2")
    for place in range(3):
        hold(w, place, "v3", OTHER)
    make.submit(w)
    assert w.fresh().config["model"] | {"manifest": OTHER, "revision": "v3"} == w.run.config["model"]


def test_a_revision_that_was_typed_chooses_among_the_models_and_one_that_nobody_holds_is_refused(w: World):
    for place in range(3):
        hold(w, place, "v3", OTHER)
    w.run.config = make.config(model={"name_or_path": make.MODEL, "revision": "v9"})
    w.run.save()
    with pytest.raises(AppError, match=r"CL-1005.* different versions of acme/tiny at revision v9"):
        make.submit(w)
    w.run.config = make.config(model={"name_or_path": make.MODEL, "revision": "v3"})
    w.run.save()
    make.submit(w)
    assert w.fresh().config["model"]["manifest"] == OTHER
