"""The lane of an evaluator in a run that was stopped: whether its process is known to be gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from webapp.adapters.tests.factories import report, upload
from webapp.runs.finishing.joining import adapter_join
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.models import RunState
from webapp.runs.services import PartyChoice, run_draft_save
from webapp.runs.tests import factories as make
from webapp.telemetry.tests.batches import batch, record

pytestmark = pytest.mark.django_db
CONFIRMED = "process ended (confirmed)"


@pytest.fixture
def w(settings, tmp_path: Path) -> make.World:
    """A run whose halves are done, and whose evaluator has begun to load the adapter."""
    settings.MEDIA_ROOT = tmp_path / "media"
    w = make.world()
    parties = [
        PartyChoice("client", w.workers[0].id, w.versions[0].id),
        PartyChoice("evaluator", w.workers[1].id, w.versions[1].id),
        PartyChoice("server", w.workers[2].id),
    ]
    told = {"name": "First run", "config": make.config(), "parties": parties, "run": w.run}
    run_draft_save(actor=w.engineer, project=w.project, organisation=w.organisations[0], **told)
    make.submit(w)
    make.approve(w)
    for place in (0, 2):
        make.claim(w, place)
    for place, name in ((0, "head"), (0, "tail"), (2, "body")):
        upload(w, place, name)
    for place in (0, 2):
        make.exit_part(w, place, "done")
    adapter_join(w.run.id)
    part = w.part(1)
    records_store(participant=part, batch=batch(part, record(1, "phase", phase="verifying")))
    return w


def stopped_page(w: make.World, client: Client) -> str:
    client.force_login(w.engineer)
    client.post(reverse("runs:control", args=[w.run.id, "stop"]), {"reason": "Maintenance"})
    assert w.fresh().state == RunState.STOPPED
    return client.get(reverse("runs:live", args=[w.run.id])).content.decode()


def test_it_says_that_the_process_has_ended_once_the_evaluator_has_reported(w: make.World, client: Client) -> None:
    report(w, 1, w.run.adapters.get())
    assert stopped_page(w, client).count(CONFIRMED) == 1


def test_it_says_nothing_of_a_process_that_may_still_be_there(w: make.World, client: Client) -> None:
    assert CONFIRMED not in stopped_page(w, client)
