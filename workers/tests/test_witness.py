"""A worker remembers where the hub's audit log ended, and reports a hub that lost it, once, until a person accepts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from workers.agent.service import Agent
from workers.contracts import Assignments, ChainHead, WitnessReport
from workers.doctor import run_checks
from workers.enrol import leave
from workers.settings import WorkerConfig
from workers.tests.support import Answer, FakeHub, enrolled_home, fake_hub
from workers.witness import Witness


def head(sequence: int, letter: str = "a", epoch: str = "") -> ChainHead:
    return ChainHead(epoch=epoch, sequence=sequence, head=letter * 64)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    found = Witness(tmp_path)
    found.see(head(0))
    found.see(head(7))
    return found


def test_a_chain_that_grows_is_kept(witness: Witness) -> None:
    assert witness.see(head(9, "b")) is None
    assert witness.see(head(9, "b")) is None
    assert witness.kept() == head(9, "b")


@pytest.mark.parametrize(
    ("shown", "kind", "code"),
    [
        (head(6), "lost", "CL-1447"),
        (head(0), "lost", "CL-1447"),
        (head(7, "c"), "rewritten", "CL-1448"),
        (head(6, epoch="epo_1"), "restored", "CL-1446"),
        (head(9, epoch="epo_1"), "restored", "CL-1446"),
    ],
)
def test_a_chain_that_lost_what_was_seen_is_reported_once(
    witness: Witness, shown: ChainHead, kind: str, code: str
) -> None:
    found = witness.see(shown)
    assert found is not None
    assert (found.kind, found.error.code) == (kind, code)
    assert "entry 7" in found.error.message
    assert witness.see(shown) is None
    assert witness.finding() == found


def test_what_was_kept_stays_until_a_person_accepts(witness: Witness) -> None:
    witness.see(head(3, "d", epoch="epo_1"))
    witness.see(head(50, "e", epoch="epo_1"))
    assert witness.kept() == head(7)
    assert witness.accept() == head(3, "d", epoch="epo_1")
    assert witness.finding() is None
    assert witness.see(head(50, "e", epoch="epo_1")) is None
    assert witness.kept() == head(50, "e", epoch="epo_1")
    assert witness.accept() is None


def test_the_hub_is_told_of_a_finding_and_of_its_end_once_each(witness: Witness) -> None:
    assert witness.untold() is None
    found = witness.see(head(3, "d"))
    report = witness.untold()
    assert found is not None
    assert report == WitnessReport(loss=found.loss)
    witness.told(report)
    assert witness.untold() is None
    witness.accept()
    assert witness.untold() == WitnessReport(loss=None)
    witness.told(WitnessReport())
    assert witness.untold() is None


def test_what_was_accepted_before_the_hub_heard_of_it_is_not_told(witness: Witness) -> None:
    witness.see(head(3, "d"))
    witness.accept()
    assert witness.untold() is None


def test_a_hub_that_shows_its_chain_no_more_is_reported_once_until_it_shows_it_again(witness: Witness) -> None:
    found = witness.see(None)
    assert found is not None
    assert (found.kind, found.error.code) == ("hidden", "CL-1456")
    assert "entry 7" in found.error.message
    assert witness.untold() == WitnessReport(loss=found.loss)
    assert witness.see(None) is None
    assert (witness.finding(), witness.kept()) == (found, head(7))
    assert witness.see(head(8, "b")) is None
    assert (witness.finding(), witness.kept()) == (None, head(8, "b"))


def test_a_chain_that_comes_back_shorter_than_before_it_was_hidden_is_lost(witness: Witness) -> None:
    witness.see(None)
    found = witness.see(head(5))
    assert found is not None
    assert found.kind == "lost"


def test_a_person_who_accepts_a_hidden_chain_is_not_asked_again(witness: Witness) -> None:
    witness.see(None)
    witness.accept()
    assert witness.see(None) is None
    assert (witness.finding(), witness.kept()) == (None, None)


def test_a_hub_that_has_shown_no_chain_yet_hides_none(tmp_path: Path) -> None:
    assert Witness(tmp_path).see(None) is None


def test_leaving_a_hub_forgets_its_chain(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path / "home")
    witness = Witness(home.root)
    witness.see(head(7))
    witness.see(head(3, "d"))
    leave(home, tell=lambda error: None)
    assert (witness.kept(), witness.finding(), witness.untold()) == (None, None, None)


@dataclass
class Telling(FakeHub):
    """Shows a chain, and takes reports on it or has no place for them."""

    status: int = 200

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """A list without work; what else it is told it keeps."""
        self.calls.append((method, path, body))
        return self.status, {}


@pytest.mark.parametrize("status", [200, 404, 500])
def test_the_agent_tells_the_hub_and_gives_up_at_one_that_has_no_place_for_it(tmp_path: Path, status: int) -> None:
    with fake_hub(Telling(status=status)) as hub:
        home = enrolled_home(tmp_path / "home", hub.url)
        agent = Agent(home, WorkerConfig.load(home))
        for shown in (head(7), head(3, "d"), head(3, "d")):
            agent._witness_chain(Assignments(assignments=[], hub_time=datetime.now(UTC), chain=shown))
            agent._tell_witness()
        told = {200: 1, 404: 1, 500: 2}
        assert len(hub.bodies("/witness")) == told[status], "an outage is no refusal"
        assert hub.bodies("/witness")[0]["loss"]["kept"]["sequence"] == 7


def test_the_agent_reports_a_hub_that_leaves_its_chain_out(tmp_path: Path) -> None:
    with fake_hub(Telling()) as hub:
        home = enrolled_home(tmp_path / "home", hub.url)
        agent = Agent(home, WorkerConfig.load(home))
        for shown in (head(7), None, None):
            agent._witness_chain(Assignments(assignments=[], hub_time=datetime.now(UTC), chain=shown))
            agent._tell_witness()
        assert [body["loss"]["kind"] for body in hub.bodies("/witness")] == ["hidden"]
        assert any(check.code == "CL-1456" for check in run_checks(home))
