"""Adapters that nobody has loaded when their run ends: they are not verified, and the run says whose and why."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from splitcore.errors import AppError
from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.tests.factories import report, trained
from webapp.runs.finishing.handing_out import adapter_download, why_no_download
from webapp.runs.finishing.packaging import CHECK_DEADLINE, adapter_package
from webapp.runs.kinds.checks import AWAY
from webapp.runs.models import RunState
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hub(settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    make.hub_watched()


@pytest.fixture
def w() -> make.World:
    """A personalised run of two parties, of which the first has loaded its own adapter."""
    w = trained(run_config=make.config(schedule={"name": "personalised"}))
    report(w, 0, w.run.adapters.get(party=w.part(0).party))
    return w


def left_over(w: make.World) -> Adapter:
    """The adapter of the other party."""
    return w.run.adapters.get(party=w.part(1).party)


def test_adapter_whose_own_worker_is_gone_is_not_verified_and_the_run_says_so(w: make.World, client) -> None:
    w.run.participants.filter(pk=w.part(1).pk).update(phase="dropped", phase_since=timezone.now() - 2 * AWAY)
    adapter_package(w.run.id)
    assert w.fresh().state == RunState.DONE
    adapter = left_over(w)
    assert adapter.state == AdapterState.UNVERIFIED
    [told, _] = w.run.summary["notes"]
    assert told == (
        f"The adapter of Beta bank is not verified: its worker {w.workers[1].name} is gone. It can't be downloaded."
    )
    assert why_no_download(adapter).startswith("Not verified: its worker is gone")
    with pytest.raises(AppError, match="its adapter is not verified"):
        adapter_download(actor=w.approvers[1], adapter=adapter)
    assert w.run.adapters.get(party=w.part(0).party).state == AdapterState.READY
    client.force_login(w.approvers[1])
    page = client.get(reverse("adapters:detail", args=[adapter.id])).content.decode()
    assert "Not verified" in page
    assert "not yet" not in page
    run_page = client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    assert "Done, but the adapter of Beta bank is not verified." in run_page


def test_adapter_whose_own_worker_is_there_and_late_is_said_to_be_late(w: make.World) -> None:
    adapter_package(w.run.id)
    assert left_over(w).state == AdapterState.JOINED, "it is waited for"
    type(w.run).objects.filter(pk=w.run.pk).update(state_since=timezone.now() - CHECK_DEADLINE - timedelta(seconds=1))
    adapter_package(w.run.id)
    assert left_over(w).state == AdapterState.UNVERIFIED
    assert "did not load it in time" in w.fresh().summary["notes"][0]
