"""`approve: local`: nothing starts before a person of this site has approved exactly this contract."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from workers.agent.tests.site import JOB, Site, listed
from workers.agreement import contract_lines
from workers.approvals import ApprovalBook
from workers.contracts import Assignment, Desired
from workers.decisions import open_decisions
from workers.outbox.questions import Question, Questions, WaitingRow
from workers.policy import SitePolicy
from workers.tests.support import PEER, assignment_for, contract_for
from workers.trust import TrustBook


@pytest.fixture
def careful(site: Site) -> Site:
    """A site that approves contracts itself."""
    site.home.policy_file.write_text(SitePolicy(approve="local").to_yaml())
    return site


def approve(site: Site, contract_hash: str) -> None:
    with ApprovalBook.changing(site.home) as book:
        book.add(contract_hash, by="command")


def waiting(site: Site) -> list[WaitingRow]:
    """What its people are asked."""
    return Questions(site.home.spool_file).waiting()


def test_the_hub_is_told_that_it_waits_for_the_site_and_then_that_the_site_accepts(careful: Site) -> None:
    reconciler, review = careful.reconciler(), careful.assignment(kind="review", desired="none")
    for _ in range(2):
        reconciler.apply(listed(review))
    [waiting] = careful.hub.bodies("/verdict")
    assert waiting["accepted"] is False
    assert [refusal["field"] for refusal in waiting["refusals"]] == ["approve"]
    assert f"`cutlayer worker approve {review.contract_hash}`" in waiting["refusals"][0]["message"]
    approve(careful, review.contract_hash)
    for _ in range(2):
        reconciler.apply(listed(review))
    assert [verdict["accepted"] for verdict in careful.hub.bodies("/verdict")] == [False, True]


def test_a_job_waits_for_the_site_without_failing_and_starts_once_it_has_approved(careful: Site) -> None:
    reconciler = careful.reconciler()
    for _ in range(3):
        reconciler.apply(listed(careful.assignment()))
    assert careful.rung == []
    assert careful.exits() == []
    approve(careful, careful.assignment().contract_hash)
    reconciler.apply(listed(careful.assignment()))
    assert careful.rung == [("run_1", JOB)]


def test_an_approval_holds_through_recoveries_and_restarts_and_for_its_hash_alone(careful: Site) -> None:
    approve(careful, careful.assignment().contract_hash)
    careful.reconciler().apply(listed(careful.assignment()))
    careful.spool.job_running(JOB, 1)
    careful.spool.job_exited(JOB, "stopped")
    careful.reconciler().apply(listed(careful.assignment(attempt=1, wanted_attempt=2)))
    assert len(careful.rung) == 2
    other = assignment_for(contract_for(careful.home, run_id="run_2"), run_id="run_2", participant_id="prt_2")
    careful.reconciler().apply(listed(careful.assignment(attempt=1, wanted_attempt=2), other))
    assert {run for run, _ in careful.rung} == {"run_1"}


def test_a_contract_that_the_policy_refuses_does_not_wait_for_anybody(careful: Site) -> None:
    contract = contract_for(careful.home)
    contract["config"]["split"]["topology"] = "vanilla"
    careful.reconciler().apply(listed(assignment_for(contract)))
    assert [ended["error"]["code"] for ended in careful.exits()] == ["CL-1509"]
    assert open_decisions(careful.home) == []


def test_what_waits_is_listed_in_plain_words_until_it_is_decided(careful: Site) -> None:
    contract = contract_for(careful.home, run_name="evil\u202ename")
    review = assignment_for(contract, kind="review", desired="none")
    careful.reconciler().apply(listed(review))
    [row] = open_decisions(careful.home)
    assert (row.kind, row.subject) == ("contract", review.contract_hash)
    lines = contract_lines(row.detail, worker_id="wrk_own")
    text = "\n".join(words for _, words in lines)
    assert "\u202e" not in text
    assert "\u202e" not in row.title
    assert "gpu of GPU computes" in text
    assert "keeps the first 2 and the last 2 layers and its labels" in text
    assert [heading for heading, _ in lines].count("This site") == 1
    approve(careful, review.contract_hash)
    assert open_decisions(careful.home) == []


def test_what_leaves_is_worked_out_here_and_not_taken_from_the_hub_s_words(careful: Site) -> None:
    contract = contract_for(careful.home, traffic=["Nothing but numbers of rows leaves this site."])
    contract["config"]["lora"] = {"train_head": False}
    contract["config"]["training"].update(cache_activations=True)
    contract["config"]["data"] = {"eval_fraction": 1e-9, "loss_on": "all", "template": "chat"}
    text = "\n".join(words for _, words in contract_lines(assignment_for(contract).contract, worker_id="wrk_own"))
    assert "Nothing but numbers" not in text
    for words in (
        "activations at the first cut (after the first 2 layers, as bf16, each training row once)",
        "caches every row's activations",
        "is not trained",
        "all tokens",
        "in the tokenizer's chat template",
    ):
        assert words in text
    assert "0.0000% of the rows" in text


def test_what_leaves_is_told_of_each_party_s_own_cut_and_batch(careful: Site) -> None:
    contract = contract_for(careful.home)
    contract["config"]["split"].update(head_layers=8)
    contract["config"]["parties"] = {"hospital-a": {"head_layers": 1, "batch_size": 32}}
    other = contract["participants"][0] | {"party": "hospital-b", "organisation": "Hospital B", "worker_id": "wrk_b"}
    contract["participants"].append(other | {"worker": "worker-b"})
    lines = contract_lines(assignment_for(contract).contract, worker_id="wrk_own")
    leaves = [words for heading, words in lines if heading == "Leaves"]
    cut = "activations at the first cut (after the first"
    assert any(words.startswith(f"Hospital A → GPU: {cut} layer,") for words in leaves)
    assert any(words.startswith(f"Hospital B → GPU: {cut} 8 layers,") for words in leaves)
    steps = [words for heading, words in lines if heading == "Step"]
    assert [words.split()[0] for words in steps] == ["32", "4"]
    assert "Hospital A" in steps[0]


@pytest.mark.parametrize(
    ("schedule", "parties", "words"),
    [("parallel", 1, "none"), ("splitfed_v3", 2, "none"), ("parallel", 2, "readable by the compute site")],
)
def test_who_reads_exchanged_adapters_is_said_where_any_are(
    careful: Site, schedule: str, parties: int, words: str
) -> None:
    contract = contract_for(careful.home) | {"contract_version": 2}
    contract["config"] = {"model": contract["config"]["model"], "schedule": schedule}
    other = contract["participants"][0] | {"party": "hospital-b", "organisation": "Hospital B", "worker_id": "wrk_b"}
    contract["participants"] += [other][: parties - 1]
    lines = contract_lines(assignment_for(contract).contract, worker_id="wrk_own")
    assert [said for heading, said in lines if heading == "Exchanged adapters"] == [words]


def test_a_certificate_that_is_not_trusted_waits_for_a_person(site: Site) -> None:
    with TrustBook.changing(site.home) as book:
        book.remove(PEER)
    reconciler, review = site.reconciler(), site.assignment(kind="review", desired="none")
    reconciler.apply(listed(review))
    [row] = open_decisions(site.home)
    assert (row.kind, row.subject) == ("certificate", PEER)
    assert "gpu of GPU" in row.title
    with TrustBook.changing(site.home) as book:
        book.add(PEER, "compute")
    reconciler.apply(listed(review))
    assert [verdict["accepted"] for verdict in site.hub.bodies("/verdict")] == [False, True]
    assert open_decisions(site.home) == []


def ask_of(site: Site, run: str, name: str = "test") -> Assignment:
    contract = contract_for(site.home, run_id=run, run_name=name)
    return assignment_for(contract, run_id=run, participant_id=f"prt_{run}", kind="review", desired="none")


def test_what_the_hub_lists_no_more_waits_for_nobody(careful: Site) -> None:
    reconciler = careful.reconciler()
    reconciler.apply(listed(ask_of(careful, "run_1"), ask_of(careful, "run_2")))
    assert {row.run_id for row in waiting(careful)} == {"run_1", "run_2"}
    reconciler.apply(listed(ask_of(careful, "run_2")))
    assert {row.run_id for row in waiting(careful)} == {"run_2"}
    reconciler.apply(listed())
    assert waiting(careful) == []


def test_a_new_contract_of_a_run_takes_the_place_of_the_one_before(careful: Site) -> None:
    reconciler = careful.reconciler()
    reconciler.apply(listed(ask_of(careful, "run_1", "first")))
    reconciler.apply(listed(ask_of(careful, "run_1", "second")))
    assert [row.title for row in waiting(careful)] == ["second"]


def test_a_question_keeps_the_moment_when_it_was_first_asked(careful: Site) -> None:
    reconciler = careful.reconciler()
    reconciler.apply(listed(ask_of(careful, "run_1")))
    [before] = waiting(careful)
    reconciler.apply(listed(ask_of(careful, "run_1")))
    Questions(careful.home.spool_file).asked(
        "run_1", [Question(before.kind, before.subject, "another name", before.detail)]
    )
    [after] = waiting(careful)
    assert (after.title, after.asked_at) == ("another name", before.asked_at)


def test_a_hub_that_asks_without_end_fills_no_disk(careful: Site) -> None:
    careful.reconciler().apply(listed(*(ask_of(careful, f"run_{number}", f"run {number}") for number in range(130))))
    assert len(waiting(careful)) <= 100
    assert waiting(careful)[0].title == "run 129"


@contextmanager
def alive(site: Site) -> Iterator[None]:
    """A half of the site's job runs."""
    site.spool.job_running(JOB, 1)
    with site.folder().locked() as held:
        assert held
        yield


def distrust_peer(site: Site) -> None:
    with TrustBook.changing(site.home) as book:
        book.remove(PEER)


def withdraw(site: Site) -> None:
    with ApprovalBook.changing(site.home) as book:
        book.remove(site.assignment().contract_hash)


def forbid(site: Site) -> None:
    site.home.policy_file.write_text(SitePolicy(approve="local", min_head_layers=9).to_yaml())


@pytest.mark.parametrize(
    ("take_back", "code"), [(distrust_peer, "CL-1509"), (withdraw, "CL-1426"), (forbid, "CL-1509")]
)
def test_what_a_site_takes_back_ends_the_half_that_runs(
    careful: Site, take_back: Callable[[Site], None], code: str
) -> None:
    approve(careful, careful.assignment().contract_hash)
    reconciler = careful.reconciler()
    reconciler.apply(listed(careful.assignment()))
    with alive(careful):
        reconciler.apply(listed(careful.assignment(attempt=1)))
        assert careful.folder().condemned() is None
        take_back(careful)
        reconciler.live.review()  # the hub need not answer for it
        condemned = careful.folder().condemned()
        assert condemned is not None
        assert condemned.code == code
        assert careful.folder().desired() is Desired.STOPPED


def test_an_approval_is_for_one_participant_of_this_site(careful: Site) -> None:
    approve(careful, careful.assignment().contract_hash)
    reconciler = careful.reconciler()
    reconciler.apply(listed(*[careful.assignment(participant_id=f"prt_{number}") for number in range(5)]))
    assert careful.rung == [("run_1", "prt_0-train")]


def test_an_id_that_is_none_keeps_no_other_job_from_its_end(site: Site) -> None:
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment()))
    with alive(site):
        reconciler.apply(listed(site.assignment(participant_id="../x")))
        assert site.folder().desired() is Desired.STOPPED


def test_an_audit_waits_for_nobody_and_takes_no_question_away(careful: Site) -> None:
    distrust_peer(careful)
    review = careful.assignment(kind="review", desired="none", attempt=0)
    audit = careful.assignment(kind="audit", attempt=0, subject="first", spec={"size": "quick"})
    careful.reconciler().apply(listed(review, audit))
    assert [job for _, job in careful.rung] == ["prt_1-audit-first"]
    assert {row.kind for row in waiting(careful)} >= {"certificate"}
    assert [verdict["accepted"] for verdict in careful.hub.bodies("/verdict")] == [False], "the contract's own"
    assert careful.exits() == []


def test_a_contract_that_was_audited_binds_the_site_to_nothing(careful: Site) -> None:
    audit = careful.assignment(kind="audit", attempt=0, subject="first", spec={"size": "quick"})
    reconciler = careful.reconciler()
    reconciler.apply(listed(audit))
    changed = copy.deepcopy(contract_for(careful.home))
    changed["config"]["training"]["steps"] = 49
    half = assignment_for(changed)
    approve(careful, half.contract_hash)
    reconciler.apply(listed(half))
    assert careful.rung[-1] == ("run_1", JOB)
