"""What the agent makes of the hub's list."""

from __future__ import annotations

import pytest

from splitcore.errors import AppError
from workers.agent.tests.site import JOB, Site, listed
from workers.contracts import Desired
from workers.hub import HubError
from workers.policy import SitePolicy
from workers.tests.support import assignment_for, contract_for


def test_a_review_is_answered_once_and_starts_nothing(site: Site) -> None:
    reconciler = site.reconciler()
    for _ in range(2):
        reconciler.apply(listed(site.assignment(kind="review", desired="none")))
    [verdict] = site.hub.bodies("/verdict")
    assert verdict["accepted"] is True
    assert site.rung == []


def test_a_job_that_is_wanted_is_rung_for_once_until_it_is_overdue(site: Site) -> None:
    reconciler = site.reconciler()
    for _ in range(3):
        reconciler.apply(listed(site.assignment()))
    assert site.rung == [("run_1", JOB)]
    assert site.folder().read_assignment().contract_hash == site.assignment().contract_hash
    reconciler.forget_rings()  # the queue was started anew
    reconciler.apply(listed(site.assignment()))
    assert len(site.rung) == 2
    site.reconciler().apply(listed(site.assignment()))  # the agent was
    assert len(site.rung) == 3


def test_a_job_outside_the_policy_is_refused_and_not_rung_for(site: Site) -> None:
    site.home.policy_file.write_text(SitePolicy(max_steps=1).to_yaml())
    reconciler = site.reconciler()
    for _ in range(2):
        reconciler.apply(listed(site.assignment()))
    assert site.rung == []
    assert [verdict["accepted"] for verdict in site.hub.bodies("/verdict")] == [False]
    [ended] = site.exits()
    assert ended["outcome"] == "failed"
    assert ended["error"]["code"] == "CL-1509"


def test_an_unreadable_policy_lets_nothing_start(site: Site) -> None:
    site.home.policy_file.write_text("max_step: 1")
    site.reconciler().apply(listed(site.assignment()))
    assert site.rung == []


def test_a_stop_before_any_process_is_confirmed_at_once(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    for _ in range(2):
        reconciler.apply(listed(site.assignment(desired="stopped")))
    [ended] = site.exits()
    assert ended["outcome"] == "stopped"
    job = site.spool.job(JOB)
    assert job is not None
    assert job.state == "exited"


def test_a_stop_reaches_a_live_job(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        reconciler.apply(listed(site.assignment(desired="stopped", attempt=1)))
        assert site.folder().desired() is Desired.STOPPED
    assert site.exits() == []


def test_a_job_whose_supervisor_was_killed_is_reported_as_killed(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    for _ in range(2):
        reconciler.apply(listed(site.assignment(attempt=1)))
    [ended] = site.exits()
    assert (ended["outcome"], ended["attempt"], ended["error"]["code"]) == ("failed", 1, "CL-1520")
    assert len(site.rung) == 1


def test_a_job_that_has_ended_is_not_started_again(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_exited(JOB, "done")
    reconciler.forget_rings()
    reconciler.apply(listed(site.assignment(attempt=1)))
    assert len(site.rung) == 1


def test_the_peer_s_address_reaches_the_half(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    with site.folder().locked():
        reconciler.apply(listed(site.assignment(attempt=1, server_address="gpu.example:9100", server_attempt=1)))
    peer = site.folder().peer()
    assert peer is not None
    assert (peer.host, peer.port) == ("gpu.example", 9100)


def test_a_peer_outside_the_policy_ends_the_job(site: Site) -> None:
    site.home.policy_file.write_text(SitePolicy(hosts=["*.allowed.example"]).to_yaml())
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    with site.folder().locked():
        reconciler.apply(listed(site.assignment(attempt=1, server_address="gpu.example:9100")))
    condemned = site.folder().condemned()
    assert condemned is not None
    assert condemned.code == "CL-1424"
    assert site.folder().peer() is None


def test_a_policy_file_that_cannot_be_read_ends_nothing_that_runs(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.home.policy_file.write_text("hosts: [")
    with site.folder().locked():
        reconciler.apply(listed(site.assignment(attempt=1, server_address="gpu.example:9100", server_attempt=1)))
    assert site.folder().condemned() is None
    assert site.folder().peer() is None


def test_a_job_that_the_hub_no_longer_lists_is_stopped(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        reconciler.apply(listed())
        assert site.folder().desired() is Desired.STOPPED


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_job_whose_folder_cannot_be_made_keeps_no_stop_from_another(site: Site, is_listed: bool) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    (site.home.jobs / "run_2").write_text("")
    contract = contract_for(site.home, run_id="run_2")
    broken = assignment_for(contract, run_id="run_2", participant_id="prt_2")
    with site.folder().locked():
        reconciler.apply(listed(broken, *[site.assignment(attempt=1, desired="stopped")] * is_listed))
        assert site.folder().desired() is Desired.STOPPED
    reconciler.apply(listed(broken, site.check_of("adp_1")))
    assert len(site.rung) == 2, "nor the next one's start"


def test_stops_come_before_what_waits_for_the_hub(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    site.hub.refusals = {"/verdict": (503, {"code": "CL-1404", "message": "later"})}
    review = site.assignment(kind="review", desired="none")
    for stop in ([site.assignment(attempt=1, desired="stopped")], []):
        site.folder().write_desired(Desired.RUNNING)
        with site.folder().locked():
            with pytest.raises(HubError):
                reconciler.apply(listed(review, *stop))
            assert site.folder().desired() is Desired.STOPPED


def test_what_runs_for_an_entry_that_cannot_be_read_goes_on(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        reconciler.apply(listed().model_copy(update={"unread": ["prt_1"]}))
        assert site.folder().desired() is Desired.RUNNING
        reconciler.apply(listed(site.assignment(participant_id="../prt_2")))
        assert site.folder().desired() is Desired.STOPPED, "an id that is none keeps nothing running"


def test_an_id_that_leads_out_of_the_folder_is_refused(site: Site) -> None:
    contract = contract_for(site.home, run_id="../../outside")
    site.reconciler().apply(listed(assignment_for(contract, run_id="../../outside")))
    assert site.rung == []
    assert not (site.home.root.parent / "outside").exists()


def test_a_newer_attempt_ends_the_older_one_and_is_rung_for_when_that_is_gone(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    again = site.assignment(attempt=1, wanted_attempt=2)
    with site.folder().locked():
        reconciler.apply(listed(site.assignment(attempt=1, server_address="gpu.example:9100", server_attempt=1)))
        reconciler.apply(listed(again))
        assert site.folder().desired() is Desired.STOPPED
        assert len(site.rung) == 1
    site.spool.job_exited(JOB, "stopped")
    for _ in range(2):
        reconciler.apply(listed(again))
    assert len(site.rung) == 2
    assert site.folder().desired() is Desired.RUNNING
    assert site.folder().peer() is None, "the older attempt's address leads nowhere"
    with site.folder().locked():  # the new supervisor claims
        reconciler.apply(listed(again))
        assert site.folder().desired() is Desired.RUNNING


def test_what_is_said_late_of_an_older_attempt_does_not_stop_the_newer_one(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 2)
    reconciler.live.desire("prt_1", 1, Desired.STOPPED)
    assert site.folder().desired() is Desired.RUNNING
    reconciler.live.desire("prt_1", 2, Desired.STOPPED)
    assert site.folder().desired() is Desired.STOPPED


def test_a_killed_job_is_reported_once_and_rung_for_again_when_the_hub_wants_it(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    reconciler.apply(listed(site.assignment(attempt=1)))
    reconciler.apply(listed(site.assignment(attempt=1, wanted_attempt=2)))
    assert [exit_["error"]["code"] for exit_ in site.exits()] == ["CL-1520"]
    assert len(site.rung) == 2


def test_a_worker_in_quarantine_pauses_its_halves_and_stops_none(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    reconciler.live.hold_all()
    assert site.folder().desired() is Desired.PAUSED
    site.folder().write_desired(Desired.STOPPED)
    reconciler.live.hold_all()
    assert site.folder().desired() is Desired.STOPPED


def test_a_job_whose_run_may_let_no_more_leave_is_ended_and_says_why(site: Site) -> None:
    site.reconciler().apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    site.reconciler().live.over_budget("prt_1", 2, AppError("CL-1429"))
    assert site.folder().condemned() is None, "another attempt"
    site.reconciler().live.over_budget("prt_1", 1, AppError("CL-1429"))
    ended = site.folder().condemned()
    assert ended is not None
    assert ended.code == "CL-1429"
