"""Which certificates a site trusts, and that ids, names and roles, which are the hub's word, change nothing of it."""

from __future__ import annotations

import copy
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from splitcore.errors import AppError
from workers.contracts import Assignment
from workers.policy import SitePolicy
from workers.policy_review import Review, Site, review
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import PEER, assignment_for, contract_for, enrolled_home, equip
from workers.trust import Purpose, TrustBook

EVIL = "13" * 32
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def home(tmp_path: Path) -> WorkerHome:
    folder = enrolled_home(tmp_path / "home")
    equip(folder, model_folder=tmp_path)
    folder.trust_file.unlink()
    policy_of(folder, "first_use")
    return folder


def policy_of(home: WorkerHome, trust: Literal["first_use", "listed"]) -> None:
    home.policy_file.write_text(SitePolicy(peer_trust=trust).to_yaml())


def contract(home: WorkerHome, *changes: Change) -> dict[str, Any]:
    made = copy.deepcopy(contract_for(home))
    for change in changes:
        change(made)
    return made


def compute(**values: Any) -> Change:
    return lambda made: made["participants"][1].update(values)


def partner(**values: Any) -> Change:
    """One more data organisation in the contract."""

    def add(made: dict[str, Any]) -> None:
        other = made["participants"][0] | {"party": "clinic", "organisation_id": "org_2", "worker_id": "wrk_2"}
        made["participants"].append(other | values)

    return add


def swap(made: dict[str, Any]) -> None:
    """This worker computes; the other one trains."""
    own, peer = made["participants"]
    own.update(role="server", dataset="", dataset_version_id="", dataset_digest="", dataset_version=None)
    peer.update(role="client")


def judge(home: WorkerHome, assignment: Assignment) -> Review:
    return review(assignment, Site.load(home, WorkerConfig.load(home)))


def let_in(home: WorkerHome, assignment: Assignment) -> None:
    """What the agent does when it admits a job."""
    config = WorkerConfig.load(home)
    with TrustBook.changing(home) as book:
        found = review(assignment, Site.load(home, config, trust=book))
        made, _, own = found.passed()
        Site.load(home, config, trust=book).remember(made, own)


def trust(home: WorkerHome, fingerprint: str, purpose: Purpose) -> None:
    with TrustBook.changing(home) as book:
        book.add(fingerprint, purpose)


def refusals(home: WorkerHome, *changes: Change, **assignment: Any) -> list[str]:
    return [item.message for item in judge(home, assignment_for(contract(home, *changes), **assignment)).refusals]


RENAMED: dict[str, Change] = {
    "a made-up worker": compute(worker_id="wrk_anything", fingerprint=EVIL),
    "a made-up organisation": compute(worker_id="wrk_x", organisation_id="org_x", organisation="X", fingerprint=EVIL),
    "the known worker with a new key": compute(fingerprint=EVIL),
    "another party's name": compute(party="clinic", worker="clinic", fingerprint=EVIL),
}


@pytest.mark.parametrize("peer_trust", ["first_use", "listed"])
def test_no_contract_brings_the_compute_worker_of_this_site_s_rows(
    home: WorkerHome, peer_trust: Literal["first_use", "listed"]
) -> None:
    policy_of(home, peer_trust)
    [message] = refusals(home)
    assert f"`cutlayer worker trust {PEER} --as compute`" in message
    trust(home, PEER, "compute")
    assert refusals(home) == []


@pytest.mark.parametrize("name", RENAMED)
def test_beside_the_listed_compute_worker_no_other_one_is_trusted_unasked(home: WorkerHome, name: str) -> None:
    trust(home, PEER, "compute")
    let_in(home, assignment_for(contract(home)))
    [message] = refusals(home, RENAMED[name])
    assert f"`cutlayer worker trust {EVIL} --as compute`" in message
    trust(home, EVIL, "compute")
    assert refusals(home, RENAMED[name]) == []
    assert refusals(home) == [], "the first one is trusted as before"


def test_a_worker_that_may_train_here_may_not_compute_on_this_site_s_rows(home: WorkerHome) -> None:
    trust(home, PEER, "data")
    assert refusals(home, swap, role="server") == []
    assert refusals(home)


def test_a_worker_that_may_compute_on_this_site_s_rows_may_not_train_here(home: WorkerHome) -> None:
    policy_of(home, "listed")
    trust(home, PEER, "compute")
    [message] = refusals(home, swap, role="server")
    assert f"`cutlayer worker trust {PEER} --as data`" in message


def test_a_compute_worker_that_the_hub_calls_a_data_worker_first_gains_nothing(home: WorkerHome) -> None:
    trust(home, PEER, "compute")
    let_in(home, assignment_for(contract(home, partner(fingerprint=EVIL, worker_id="wrk_evil"))))
    assert refusals(home, compute(fingerprint=EVIL, worker_id="wrk_evil"))


def test_other_data_organisations_are_neither_pinned_nor_refused_at_a_data_site(home: WorkerHome) -> None:
    trust(home, PEER, "compute")
    let_in(home, assignment_for(contract(home, partner(fingerprint="31" * 32))))
    assert refusals(home, partner(fingerprint="32" * 32)) == [], "no connection of this site depends on it"
    assert TrustBook.load(home) == TrustBook(compute=[PEER])


def test_the_half_s_own_process_takes_nothing_at_first_use(home: WorkerHome) -> None:
    site = Site.load(home, WorkerConfig.load(home), is_admitted=True)
    assert review(assignment_for(contract(home, swap), role="server"), site).refusals


def test_the_refusal_keeps_the_whole_command_however_long_the_names_are(home: WorkerHome) -> None:
    [message] = refusals(home, compute(worker="w" * 120, organisation="o" * 120))
    assert f"`cutlayer worker trust {PEER} --as compute`" in message


def test_a_compute_site_meets_new_data_workers_and_notices_a_changed_certificate(home: WorkerHome) -> None:
    let_in(home, assignment_for(contract(home, swap), role="server"))
    new = compute(worker_id="wrk_new", fingerprint="31" * 32)
    assert refusals(home, swap, new, role="server") == []
    [message] = refusals(home, swap, compute(fingerprint=EVIL), role="server")
    assert EVIL in message
    policy_of(home, "listed")
    assert refusals(home, swap, role="server")


def test_what_a_compute_site_pinned_opens_no_way_for_its_own_rows(home: WorkerHome) -> None:
    let_in(home, assignment_for(contract(home, swap), role="server"))  # PEER was a data worker then
    assert refusals(home)


def test_a_certificate_whose_trust_was_taken_back_gets_in_under_no_new_name(home: WorkerHome) -> None:
    let_in(home, assignment_for(contract(home, swap), role="server"))
    with TrustBook.changing(home) as book:
        book.remove(PEER)
    assert refusals(home, swap, role="server")
    assert refusals(home, swap, compute(worker_id="wrk_new"), role="server")
    trust(home, PEER, "data")
    assert refusals(home, swap, role="server") == []


# ── the file ──


def test_a_fingerprint_is_listed_in_any_grouping(home: WorkerHome) -> None:
    with TrustBook.changing(home) as book:
        assert book.add(" ".join(["ABCD"] * 16), "compute") == "abcd" * 16
        with pytest.raises(AppError, match="CL-1423"):
            book.add("abcd", "compute")
    assert TrustBook.load(home).trusts_compute("abcd" * 16)


def test_an_older_file_s_fingerprints_let_workers_in_and_get_no_rows(home: WorkerHome) -> None:
    old = {"listed": [PEER], "compute": [EVIL], "first_use": {"wrk_1": "31" * 32}}
    home.trust_file.write_text(json.dumps(old))
    assert TrustBook.load(home) == TrustBook(data=[PEER], first_use={"wrk_1": "31" * 32})
    assert refusals(home)
    assert refusals(home, compute(fingerprint=EVIL))


def test_a_damaged_book_is_an_error_and_not_an_empty_one(home: WorkerHome) -> None:
    home.trust_file.write_text("{")
    with pytest.raises(AppError, match="CL-1423"):
        TrustBook.load(home)
    assert TrustBook.path(home) == home.trust_file


def _list_many(root: str, start: int, count: int) -> None:
    for number in range(start, start + count):
        with TrustBook.changing(WorkerHome(Path(root))) as book:
            book.add(f"{number:064x}", "data")


def test_nothing_is_lost_when_agent_console_and_command_change_the_book_at_once(home: WorkerHome) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_list_many, args=(str(home.root), 1000 * place, 40)) for place in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(TrustBook.load(home).listed) == 120
