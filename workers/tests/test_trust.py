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
from workers.trust import TrustBook

EVIL = "13" * 32
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def home(tmp_path: Path) -> WorkerHome:
    folder = enrolled_home(tmp_path / "home")
    equip(folder, model_folder=tmp_path)
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


def refusals(home: WorkerHome, *changes: Change, **assignment: Any) -> list[str]:
    return [item.message for item in judge(home, assignment_for(contract(home, *changes), **assignment)).refusals]


RENAMED: dict[str, Change] = {
    "a made-up worker": compute(worker_id="wrk_anything", fingerprint=EVIL),
    "a made-up organisation": compute(worker_id="wrk_x", organisation_id="org_x", organisation="X", fingerprint=EVIL),
    "the known worker with a new key": compute(fingerprint=EVIL),
    "another party's name": compute(party="clinic", worker="clinic", fingerprint=EVIL),
}


@pytest.mark.parametrize("name", RENAMED)
def test_after_the_first_compute_worker_no_other_one_is_trusted_unasked(home: WorkerHome, name: str) -> None:
    assert refusals(home, RENAMED[name]) == [], "the very first contract is where first use is open"
    let_in(home, assignment_for(contract(home)))
    [message] = refusals(home, RENAMED[name])
    assert f"`cutlayer worker trust {EVIL}`" in message
    with TrustBook.changing(home) as book:
        book.add(EVIL)
    assert refusals(home, RENAMED[name]) == []
    assert refusals(home) == [], "the first one is trusted as before"


def test_a_compute_worker_that_the_hub_calls_a_data_worker_first_gains_nothing(home: WorkerHome) -> None:
    let_in(home, assignment_for(contract(home, partner(fingerprint=EVIL, worker_id="wrk_evil"))))
    assert refusals(home, compute(fingerprint=EVIL, worker_id="wrk_evil"))


def test_other_data_organisations_are_neither_pinned_nor_refused_at_a_data_site(home: WorkerHome) -> None:
    policy_of(home, "listed")
    with TrustBook.changing(home) as book:
        book.add(PEER)
    let_in(home, assignment_for(contract(home, partner(fingerprint="31" * 32))))
    assert refusals(home, partner(fingerprint="32" * 32)) == [], "no connection of this site depends on it"
    assert TrustBook.load(home) == TrustBook(listed=[PEER])


def test_a_listed_certificate_closes_first_use_too(home: WorkerHome) -> None:
    with TrustBook.changing(home) as book:
        book.add(PEER)
    assert refusals(home) == []
    assert refusals(home, compute(fingerprint=EVIL))


def test_where_certificates_are_listed_not_even_the_first_is_taken(home: WorkerHome) -> None:
    policy_of(home, "listed")
    [message] = refusals(home)
    assert f"`cutlayer worker trust {PEER}`" in message
    with TrustBook.changing(home) as book:
        book.compute.append(PEER)  # pinned while the policy was another
    assert refusals(home)
    with TrustBook.changing(home) as book:
        book.add(PEER)
    assert refusals(home) == []


def test_pins_of_earlier_releases_end_first_use_and_open_nothing(home: WorkerHome) -> None:
    home.trust_file.write_text(json.dumps({"listed": [], "first_use": {"wrk_gpu": PEER, "wrk_evil": EVIL}}))
    assert refusals(home)
    assert refusals(home, compute(worker_id="wrk_evil", fingerprint=EVIL))


def test_the_half_s_own_process_takes_nothing_at_first_use(home: WorkerHome) -> None:
    site = Site.load(home, WorkerConfig.load(home), is_admitted=True)
    assert review(assignment_for(contract(home)), site).refusals


def test_the_refusal_keeps_the_whole_command_however_long_the_names_are(home: WorkerHome) -> None:
    policy_of(home, "listed")
    [message] = refusals(home, compute(worker="w" * 120, organisation="o" * 120))
    assert f"`cutlayer worker trust {PEER}`" in message


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


# ── the file ──


def test_a_fingerprint_is_listed_in_any_grouping(home: WorkerHome) -> None:
    with TrustBook.changing(home) as book:
        assert book.add(" ".join(["ABCD"] * 16)) == "abcd" * 16
        with pytest.raises(AppError, match="CL-1423"):
            book.add("abcd")
    assert TrustBook.load(home).trusts_compute("abcd" * 16, "listed")


def test_a_damaged_book_is_an_error_and_not_an_empty_one(home: WorkerHome) -> None:
    home.trust_file.write_text("{")
    with pytest.raises(AppError, match="CL-1423"):
        TrustBook.load(home)
    assert TrustBook.path(home) == home.trust_file


def _list_many(root: str, start: int, count: int) -> None:
    for number in range(start, start + count):
        with TrustBook.changing(WorkerHome(Path(root))) as book:
            book.add(f"{number:064x}")


def test_nothing_is_lost_when_agent_console_and_command_change_the_book_at_once(home: WorkerHome) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_list_many, args=(str(home.root), 1000 * place, 40)) for place in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(TrustBook.load(home).listed) == 120
