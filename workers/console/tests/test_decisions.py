"""Certificates and contracts are decided on the worker's own page, with the PIN alone, and only what was asked."""

from __future__ import annotations

from workers.approvals import ApprovalBook
from workers.console.tests.conftest import RunningConsole
from workers.outbox.questions import Question, Questions
from workers.policy import SitePolicy
from workers.tests.support import PEER, assignment_for, contract_for
from workers.trust import TrustBook


def ask(console: RunningConsole) -> str:
    """What the agent writes for a contract that waits and a certificate that is not trusted; the contract's hash."""
    console.home.policy_file.write_text(SitePolicy(approve="local", peer_trust="listed").to_yaml())
    assignment, asked = assignment_for(contract_for(console.home)), Questions(console.home.spool_file)
    contract = Question("contract", assignment.contract_hash, "test", assignment.contract)
    asked.asked("run_1", [Question("certificate", PEER, "gpu of <b>GPU</b>", "server"), contract])
    return assignment.contract_hash


def test_without_the_pin_what_waits_is_shown_and_nothing_is_decided(console: RunningConsole) -> None:
    assert "To decide" not in console.browser().http.get("/").text
    digest, visitor = ask(console), console.browser()
    assert "Decisions waiting for this site: 2" in visitor.http.get("/").text, "on every page"
    page = visitor.http.get("/decisions").text
    assert f"cutlayer worker trust {PEER} --as compute" in page
    assert "to compute on this site&#x27;s rows" in page
    assert f"cutlayer worker approve {digest}" in page
    assert "keeps the first 2 and the last 2 layers and its labels" in page
    assert "<b>GPU</b>" not in page
    visitor.send("POST", "/ticket", json={"ticket": console.ticket()})  # the hub's ticket opens no decision either
    for path, form in (("trust", {"fingerprint": PEER, "purpose": "compute"}), ("approve", {"contract_hash": digest})):
        answer = visitor.send("POST", f"/decisions/{path}", data=form)
        assert (answer.status_code, answer.json()["code"]) == (403, "CL-1453")
    assert TrustBook.load(console.home).listed == frozenset()
    assert ApprovalBook.load(console.home).approved == {}


def test_with_the_pin_a_person_trusts_and_approves_what_was_asked_and_nothing_else(console: RunningConsole) -> None:
    digest, visitor = ask(console), console.browser()
    visitor.unlock(console.pin)
    for path, form, code in (
        ("trust", {"fingerprint": "13" * 32}, "CL-1423"),
        ("trust", {"fingerprint": digest}, "CL-1423"),
        ("trust", {"fingerprint": PEER}, "CL-1423"),
        ("trust", {"fingerprint": PEER, "purpose": "data"}, "CL-1423"),
        ("approve", {"contract_hash": PEER}, "CL-1427"),
    ):
        assert visitor.send("POST", f"/decisions/{path}", data=form).json()["code"] == code
    assert visitor.send("POST", "/decisions/trust", data={"fingerprint": PEER, "purpose": "compute"}).status_code == 302
    assert visitor.send("POST", "/decisions/approve", data={"contract_hash": digest}).status_code == 302
    assert TrustBook.load(console.home).compute == [PEER]
    assert list(ApprovalBook.load(console.home).approved) == [digest]
    page = visitor.http.get("/decisions").text
    assert "No decisions waiting" in page
