"""Checkpoints of a run that the hub calls over: gone with a half that has ended as done, else kept for a while."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from splitcore.privacy.secret import job_secret
from workers.agent.reconciler import Reconciler
from workers.agent.settled import KEPT_SECONDS, MARK
from workers.agent.tests.site import JOB, Site, listed


@pytest.fixture
def reconciler(site: Site) -> Reconciler:
    """Of a site whose half of run_1 is there."""
    made = site.reconciler()
    made.apply(listed(site.assignment()))
    return made


@pytest.fixture
def saved(site: Site, reconciler: Reconciler) -> Path:
    """A checkpoint of that half."""
    path = site.folder().checkpoints / "step-00000010"
    path.mkdir(parents=True)
    return path


def settle(reconciler: Reconciler, *runs: str) -> None:
    """A look at the hub's list: it lists no job, and calls these runs over."""
    reconciler.apply(listed().model_copy(update={"settled": list(runs)}))


def grown_old(site: Site, seconds: float) -> None:
    """The hub has called the run over so long ago."""
    then = time.time() - seconds
    os.utime(site.home.jobs / "run_1" / MARK, (then, then))


def test_they_go_at_once_where_the_half_has_ended_as_done(site: Site, reconciler: Reconciler, saved: Path) -> None:
    site.spool.job_exited(JOB, "done")
    reconciler.apply(listed())
    assert saved.exists()
    settle(reconciler, "run_1", "run_2")
    assert not saved.exists()


@pytest.mark.parametrize("outcome", ["", "stopped", "failed"])
def test_the_hub_s_word_alone_deletes_nothing_for_seven_days(
    site: Site, reconciler: Reconciler, saved: Path, outcome: str
) -> None:
    if outcome:
        site.spool.job_exited(JOB, outcome)
    settle(reconciler, "run_1")
    grown_old(site, KEPT_SECONDS - 60)
    settle(reconciler, "run_1")
    assert saved.exists()
    assert KEPT_SECONDS == 7 * 86_400
    grown_old(site, KEPT_SECONDS + 60)
    settle(reconciler)
    assert not saved.exists(), "the hub's list of them is short, and forgets the older ones"
    assert not (site.home.jobs / "run_1" / MARK).exists()


def test_a_run_that_is_listed_again_has_its_seven_days_anew(site: Site, reconciler: Reconciler, saved: Path) -> None:
    settle(reconciler, "run_1")
    grown_old(site, KEPT_SECONDS + 60)
    reconciler.apply(listed(site.assignment()).model_copy(update={"settled": ["run_1"]}))
    settle(reconciler, "run_1")
    assert saved.exists()


def test_they_stay_while_a_half_is_there(site: Site, reconciler: Reconciler, saved: Path) -> None:
    site.spool.job_exited(JOB, "done")
    with site.folder().locked():
        settle(reconciler, "run_1")
        assert saved.exists()
    settle(reconciler, "run_1")
    assert not saved.exists()


def test_a_settled_run_that_is_listed_again_goes_on_with_the_same_noise(site: Site, reconciler: Reconciler) -> None:
    first = job_secret(site.folder().checkpoints)
    (site.folder().checkpoints / "attempt").write_text("1")
    site.spool.job_exited(JOB, "done")
    settle(reconciler, "run_1")
    assert not (site.folder().checkpoints / "attempt").exists()
    assert job_secret(site.folder().checkpoints) == first


def test_a_run_without_checkpoints_gets_no_mark(site: Site, reconciler: Reconciler) -> None:
    settle(reconciler, "run_1", "run_2", "../keys")
    assert list(site.home.jobs.rglob(MARK)) == []
