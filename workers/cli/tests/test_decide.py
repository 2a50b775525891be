"""`cutlayer worker trust` and `approve` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.approvals import ApprovalBook
from workers.cli.tests.test_cli import run
from workers.contracts import Assignment
from workers.outbox.questions import Question, Questions
from workers.policy import SitePolicy
from workers.settings import WorkerHome
from workers.tests.support import PEER, assignment_for, contract_for, enrolled_home
from workers.trust import TrustBook


@pytest.fixture
def home(tmp_path: Path) -> WorkerHome:
    return enrolled_home(tmp_path / "home")


def ask(home: WorkerHome) -> Assignment:
    """A contract that waits and a certificate that is not trusted, as the agent notes them."""
    home.policy_file.write_text(SitePolicy(approve="local", peer_trust="listed").to_yaml())
    assignment, asked = assignment_for(contract_for(home)), Questions(home.spool_file)
    contract = Question("contract", assignment.contract_hash, "test", assignment.contract)
    asked.asked("run_1", [Question("certificate", PEER, "gpu of GPU", "server"), contract])
    return assignment


def test_trust_lists_the_good_and_names_the_bad(home: WorkerHome) -> None:
    result = run("worker", "trust", "ab" * 32, "nonsense", "--home", str(home.root))
    assert result.exit_code == 1
    book = TrustBook.load(home)
    assert (book.compute, book.data) == ([], ["ab" * 32]), "without --as nothing of this site's leaves by it"


def test_what_a_certificate_is_trusted_for_is_said_or_taken_from_the_contract_that_waits(home: WorkerHome) -> None:
    ask(home)
    assert "to compute on this site's rows" in run("worker", "trust", PEER, "--home", str(home.root)).output
    run("worker", "trust", "ab" * 32, "--as", "compute", "--home", str(home.root))
    run("worker", "trust", "13" * 32, "--as", "data", "--home", str(home.root))
    assert run("worker", "trust", "14" * 32, "--as", "anything", "--home", str(home.root)).exit_code != 0
    book = TrustBook.load(home)
    assert (book.compute, book.data) == ([PEER, "ab" * 32], ["13" * 32])


def test_distrust_takes_a_certificate_out_of_every_list(home: WorkerHome) -> None:
    run("worker", "trust", PEER, "--as", "compute", "--home", str(home.root))
    run("worker", "trust", PEER, "--as", "data", "--home", str(home.root))
    assert run("worker", "distrust", PEER, "--home", str(home.root)).exit_code == 0
    assert TrustBook.load(home).listed == frozenset()


def test_trust_without_a_fingerprint_lists_what_waits(home: WorkerHome) -> None:
    ask(home)
    printed = run("worker", "trust", "--home", str(home.root)).output
    assert f"cutlayer worker trust {PEER} --as compute" in printed
    run("worker", "trust", PEER, "--home", str(home.root))
    assert "No certificates are waiting" in run("worker", "trust", "--home", str(home.root)).output


def test_approve_without_a_hash_shows_what_waits_in_plain_words(home: WorkerHome) -> None:
    assignment = ask(home)
    printed = run("worker", "approve", "--home", str(home.root)).output
    for words in (
        "acme/tiny",
        "50 steps",
        "gpu of GPU computes",
        "worker-a of Hospital A trains, on notes v1, keeps the first 2 and the last 2 layers and its labels",
        f"cutlayer worker approve {assignment.contract_hash}",
    ):
        assert words in printed
    done = run("worker", "approve", assignment.contract_hash, "--home", str(home.root))
    assert done.exit_code == 0
    assert list(ApprovalBook.load(home).approved) == [assignment.contract_hash]
    assert "No contracts are waiting" in run("worker", "approve", "--home", str(home.root)).output


def test_labels_that_leave_stand_out_in_the_summary(home: WorkerHome) -> None:
    ask(home)
    contract = contract_for(home)
    contract["config"]["split"] = {"topology": "vanilla", "head_layers": 1}
    assignment = assignment_for(contract)
    question = Question("contract", assignment.contract_hash, "test", assignment.contract)
    Questions(home.spool_file).asked("run_1", [question])
    assert "SENDS ITS LABELS" in run("worker", "approve", "--home", str(home.root)).output


@pytest.mark.parametrize("text", ["abcd", "g" * 64, "ab" * 33, ""])
def test_what_is_no_hash_is_refused_and_approves_nothing(home: WorkerHome, text: str) -> None:
    result = run("worker", "approve", text, "--home", str(home.root))
    assert result.exit_code == 1
    assert ApprovalBook.load(home).approved == {}
