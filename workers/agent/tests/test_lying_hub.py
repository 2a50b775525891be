"""A hub that lists another contract than the one that was let in: at every ring the site has the last word."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from workers.agent.tests.site import JOB, Site, listed
from workers.contracts import PROTOCOL_VERSION, Assignment, Desired, LogPayload
from workers.jobs.supervise import supervise
from workers.policy import SitePolicy
from workers.tests.support import PEER, assignment_for, contract_for
from workers.trust import TrustBook

EVIL = "13" * 32
CHECK = "prt_1-evaluate-adp_1"


def labels_for_evil(site: Site, **changes: Any) -> Assignment:
    """Under the same ids: the labels, that is the text, to a compute worker of the hub's own."""
    contract = copy.deepcopy(contract_for(site.home))
    contract["config"]["split"] = {"topology": "vanilla", "head_layers": 0}
    contract["participants"][1] |= {"worker_id": "wrk_evil", "fingerprint": EVIL}
    return assignment_for(contract, **changes)


def lawful_but_other(site: Site, **changes: Any) -> Assignment:
    """Under the same ids: a contract that the policy would accept, but not the one that was let in."""
    contract = copy.deepcopy(contract_for(site.home))
    contract["config"]["training"]["steps"] = 49
    return assignment_for(contract, **changes)


OTHERS = pytest.mark.parametrize("other", [labels_for_evil, lawful_but_other])
Other = Callable[..., Assignment]


def refused(site: Site, *, rings: int = 1) -> None:
    """Nothing more was rung for, the folder still holds the contract that was let in, and the hub is told."""
    assert len(site.rung) == rings
    assert site.folder().read_assignment().contract == site.assignment().contract
    assert site.hub.bodies("/verdict")[-1]["accepted"] is False
    [ended] = site.exits()
    assert (ended["outcome"], ended["error"]["code"]) == ("failed", "CL-1425")


@OTHERS
def test_another_contract_is_refused_when_an_unanswered_doorbell_is_rung_again(site: Site, other: Other) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    reconciler.forget_rings()  # the supervisor's claim was answered with CL-1511, and the bell is due again
    for _ in range(3):
        reconciler.apply(listed(other(site)))
    refused(site)


@OTHERS
def test_another_contract_is_refused_after_the_agent_s_restart(site: Site, other: Other) -> None:
    site.reconciler().apply(listed(site.assignment()))
    site.reconciler().apply(listed(other(site)))
    refused(site)


@OTHERS
def test_another_contract_is_refused_for_the_next_attempt(site: Site, other: Other) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    site.spool.job_exited(JOB, "stopped")
    for _ in range(3):
        reconciler.apply(listed(other(site, attempt=1, wanted_attempt=2)))
    refused(site)


@OTHERS
def test_another_contract_ends_a_live_job_instead_of_steering_it(site: Site, other: Other) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        reconciler.apply(listed(other(site, attempt=1, server_address="evil.example:9100", server_attempt=1)))
    condemned = site.folder().condemned()
    assert condemned is not None
    assert condemned.code == "CL-1425"
    assert site.folder().peer() is None
    assert site.folder().desired() is Desired.STOPPED


@OTHERS
def test_another_contract_is_refused_for_a_check_that_was_lost(site: Site, other: Other) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.check_of("adp_1")))
    site.spool.job_running(CHECK, 1)
    reconciler.apply(listed(site.check_of("adp_1")))  # its supervisor was killed: it is to be rung for again
    named = site.check_of("adp_1").model_dump(include={"kind", "adapter_id", "adapter_sha256", "adapter_url"})
    reconciler.forget_rings()
    for _ in range(3):
        reconciler.apply(listed(other(site, **named)))
    assert len(site.rung) == 1
    [report] = site.sent("verified")
    assert [(check["status"], check["code"]) for check in report["checks"]] == [("failed", "CL-1425")]
    assert report["evaluation"] is None


@OTHERS
def test_another_contract_is_refused_for_another_job_of_the_same_run(site: Site, other: Other) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    reconciler.apply(listed(other(site, participant_id="prt_2")))
    assert site.rung == [("run_1", JOB)]
    assert site.hub.bodies("/verdict")[-1]["accepted"] is False


def test_a_check_under_an_attempt_that_was_never_given_out_fences_no_half(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    site.spool.job_running(JOB, 1)
    reconciler.apply(listed(site.assignment(attempt=1), site.check_of("adp_1", attempt=2**31 - 1)))
    supervise(site.home, "run_1", CHECK)
    assert site.spool.highest_attempt("prt_1") == 1
    note = LogPayload(level="info", message="on it")
    assert site.spool.record(participant_id="prt_1", attempt=1, kind="log", payload=note) == 1
    check = site.spool.job(CHECK)
    assert check is not None
    assert check.state == "rung", "it is made once its attempt is one of this worker's"


@pytest.mark.parametrize("desired", ["running", "paused", "stopped"])
def test_another_run_under_a_participant_whose_half_runs_hides_it_from_nobody(site: Site, desired: str) -> None:
    reconciler, other = site.reconciler(), contract_for(site.home, run_id="run_2")
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        lawful = site.assignment(attempt=1)
        reconciler.apply(listed(lawful, assignment_for(other, run_id="run_2", attempt=1, desired=desired)))
        assert [lane.run_id for lane in site.spool.lanes()] == ["run_1"]
        assert site.exits() == []
        assert site.folder().desired() is Desired.RUNNING
        assert site.hub.bodies("/verdict")[-1]["accepted"] is False
        site.home.policy_file.write_text(SitePolicy(max_steps=1).to_yaml())
        reconciler.live.review()
    condemned = site.folder().condemned()
    assert condemned is not None
    assert condemned.code == "CL-1509"


def test_another_run_under_its_participant_keeps_no_half_running_that_is_not_listed(site: Site) -> None:
    reconciler, other = site.reconciler(), contract_for(site.home, run_id="run_2")
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        reconciler.apply(listed(assignment_for(other, run_id="run_2", attempt=1)))
        assert site.folder().desired() is Desired.STOPPED


def test_a_half_that_lives_is_reviewed_held_and_ended_whatever_its_row_says(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    site.spool.job_exited(JOB, "failed")
    with site.folder().locked():
        reconciler.live.hold_all()
        assert site.folder().desired() is Desired.PAUSED
        reconciler.live.stop_all()
        assert site.folder().desired() is Desired.STOPPED
        with TrustBook.changing(site.home) as book:
            book.remove(PEER)
        reconciler.live.review()
    condemned = site.folder().condemned()
    assert condemned is not None
    assert condemned.code == "CL-1509"


def test_a_policy_that_was_tightened_holds_for_the_next_ring(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.home.policy_file.write_text(SitePolicy(max_steps=1).to_yaml())
    reconciler.forget_rings()
    reconciler.apply(listed(site.assignment()))
    assert len(site.rung) == 1
    assert [ended["error"]["code"] for ended in site.exits()] == ["CL-1509"]


def test_a_policy_that_was_tightened_holds_for_the_next_attempt(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    site.spool.job_exited(JOB, "stopped")
    site.home.policy_file.write_text(SitePolicy(max_steps=1).to_yaml())
    for _ in range(3):
        reconciler.apply(listed(site.assignment(attempt=1, wanted_attempt=2)))
    assert len(site.rung) == 1
    assert [ended["error"]["code"] for ended in site.exits()] == ["CL-1509"]


def test_a_policy_that_was_tightened_holds_for_a_check_that_was_lost(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.check_of("adp_1")))
    site.spool.job_waiting(CHECK)
    site.home.policy_file.write_text(SitePolicy(max_steps=1).to_yaml())
    reconciler.forget_rings()
    reconciler.apply(listed(site.check_of("adp_1")))
    assert len(site.rung) == 1
    assert [report["checks"][0]["code"] for report in site.sent("verified")] == ["CL-1509"]


@pytest.mark.parametrize(
    "change",
    [{"role": "server"}, {"role": "evaluator"}, {"party": "gpu"}, {"adapter_id": "adp_9"}, {"kind": "evaluate"}],
    ids=str,
)
def test_the_same_contract_for_another_part_or_purpose_is_refused(site: Site, change: dict[str, Any]) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    reconciler.forget_rings()
    reconciler.apply(listed(site.assignment(**change)))
    assert len(site.rung) == 1
    assert site.folder().read_assignment() == site.assignment()


@pytest.mark.parametrize("url", ["http://10.0.0.1/secret", "/admin", "/api/worker/v1/runs/run_2/adapters/adp_1"])
def test_an_adapter_outside_the_run_s_own_addresses_is_not_fetched(site: Site, url: str) -> None:
    site.reconciler().apply(listed(site.check_of("adp_1").model_copy(update={"adapter_url": url})))
    assert site.rung == []


def test_a_contract_that_is_no_number_keeps_no_other_one_waiting(site: Site) -> None:
    text = site.assignment().contract.replace('"batch_size":4', '"batch_size":NaN')
    assert "NaN" in text
    site.reconciler().apply(listed(assignment_for(text, run_id="run_1", participant_id="prt_0"), site.assignment()))
    assert site.rung == [("run_1", JOB)]


def test_a_supervisor_starts_nothing_that_was_not_admitted(site: Site) -> None:
    site.reconciler().apply(listed(site.assignment()))
    site.folder().write_assignment(labels_for_evil(site))  # as an agent of an earlier release would have
    supervise(site.home, "run_1", JOB)
    assert site.hub.bodies("/claim") == []


def test_a_live_job_of_the_admitted_contract_goes_on_and_hears_of_its_peer(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        reconciler.apply(listed(site.assignment(attempt=1, server_address="gpu.example:9100", server_attempt=1)))
    assert site.folder().condemned() is None
    assert site.folder().peer() is not None


def test_a_stop_is_obeyed_whatever_contract_comes_with_it(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    site.spool.job_running(JOB, 1)
    with site.folder().locked():
        reconciler.apply(listed(lawful_but_other(site, attempt=1, desired="stopped")))
        assert site.folder().desired() is Desired.STOPPED


@pytest.mark.parametrize(
    ("since", "code"),
    [(PROTOCOL_VERSION + 1, "CL-1525"), (PROTOCOL_VERSION, ""), (0, "")],
    ids=["newer", "ours", "none"],
)
def test_kind_of_job_that_is_not_known_here_starts_nothing_and_is_refused_once(
    site: Site, since: int, code: str
) -> None:
    reconciler = site.reconciler()
    for _ in range(3):
        reconciler.apply(
            listed(site.assignment(kind="shell", kind_since=since), site.assignment(participant_id="prt_1"))
        )
    [verdict] = site.hub.bodies("/verdict")
    [refusal] = verdict["refusals"]
    assert (verdict["accepted"], refusal["field"]) == (False, "job.kind")
    assert code in refusal["message"]
    assert site.rung == [("run_1", JOB)], "the lawful job beside it starts"
    assert not site.folder("prt_1-shell").path.exists()
    assert site.spool.job("prt_1-shell") is None, "a newer worker takes it up"
