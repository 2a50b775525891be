"""The sender against a hub that fails by itself at one thing and takes the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from splitcore.bounds import Short
from workers.contracts import JOBS, PROTOCOL_VERSION, ErrorInfo, Exit, JobForm, LogPayload, TrainSpec
from workers.hub import HubClient, HubError
from workers.outbox.faults import FAULTS, PAUSE_MOST
from workers.outbox.history import sent_items
from workers.outbox.sender import Sender
from workers.outbox.spool import Spool
from workers.tests.support import Answer, FakeHub, enrolled_home, fake_hub

OWN: Answer = (500, {"code": "CL-1910", "message": "The hub failed.", "remedy": "", "details": {}})
BUSY: Answer = (503, {"code": "CL-1905", "message": "The database is busy.", "remedy": "", "details": {}})
PROXY: list[Answer] = [(502, {}), (503, {}), (504, {}), (500, {}), (500, {"error": "nginx"}), BUSY]
POISON = "poison"


@dataclass
class FailingHub(FakeHub):
    """Fails at what holds the poison, with the given answer."""

    fails_with: Answer = OWN
    failures: int = 0
    everything: bool = False
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """The fault, or what a hub answers."""
        text = json.dumps(body) if isinstance(body, dict) else ""
        if self.everything or POISON in text:
            self.failures += 1
            return self.fails_with
        return super().answer(method, path, body)


@dataclass
class Bench:
    """A spool, a hub and the sender between them."""

    hub: FailingHub
    spool: Spool
    sender: Sender
    spool_file: Path
    clock: list[float]

    def log(self, message: str, participant: str = "prt_1") -> None:
        payload = LogPayload(level="info", message=message)
        self.spool.record(participant_id=participant, attempt=1, kind="log", payload=payload)

    def exit(self, message: str = "all is well") -> None:
        error = ErrorInfo(code="CL-1521", message=message, remedy=message, where=message)
        body = Exit(participant_id="prt_1", attempt=1, outcome="failed", error=error, checkpoint_step=7)
        self.spool.post(run_id="run_1", participant_id="prt_1", kind="exit", attempt=1, body=body)

    def rounds(self, count: int, between: Callable[[], None] = lambda: None) -> None:
        for _ in range(count):
            with suppress(HubError):
                self.sender.send_all()
            self.clock[0] += PAUSE_MOST
            between()

    def messages(self, participant: str = "prt_1") -> list[str]:
        kept = self.hub.records.get(participant, {})
        return [kept[seq]["payload"]["message"] for seq in sorted(kept)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    hub = FailingHub()
    with fake_hub(hub):
        home = enrolled_home(tmp_path, hub.url)
        spool = Spool(home.spool_file)
        for participant in ("prt_1", "prt_2"):
            spool.claim(run_id="run_1", participant_id=participant, attempt=1)
        client = HubClient.of(home)
        clock = [0.0]
        sender = Sender(spool, client, lambda *_: None, clock=lambda: clock[0])
        yield Bench(hub, spool, sender, home.spool_file, clock)
        client.close()


def test_a_record_at_which_the_hub_fails_is_given_up_and_named_while_the_others_arrive(bench: Bench) -> None:
    for message in ("one", POISON, "three"):
        bench.log(message)
    bench.exit()
    bench.rounds(2 * FAULTS, bench.sender.faults.accepted)
    first, note, third = bench.messages()
    assert (first, third) == ("one", "three")
    assert "CL-1911" in note
    assert bench.hub.failures >= FAULTS
    assert len(bench.hub.bodies("/exit")) == 1
    assert any("CL-1911" in item.text for item in sent_items(bench.spool_file, limit=10))


def test_one_participants_record_holds_no_other_participant_back(bench: Bench) -> None:
    bench.log(POISON)
    bench.log("of another run", "prt_2")
    bench.rounds(1)
    assert bench.messages("prt_2") == ["of another run"]
    assert bench.messages() == []


def test_a_record_is_given_up_beside_a_part_that_is_busy(bench: Bench) -> None:
    for message in ("one", "two", POISON, "four", "five"):
        bench.log(message)
    for number in range(FAULTS + 5):
        bench.log(f"busy {number}", "prt_2")
        bench.rounds(1)
        assert bench.messages("prt_2")[-1] == f"busy {number}"
    assert [text for text in bench.messages() if "CL-1911" not in text] == ["one", "two", "four", "five"]
    assert bench.hub.failures <= FAULTS + 4


def test_what_the_hub_fails_at_rests_while_the_others_keep_their_pace(bench: Bench) -> None:
    bench.log(POISON)
    for number in range(20):
        bench.log(f"busy {number}", "prt_2")
        bench.sender.send_all()
    assert len(bench.messages("prt_2")) == 20
    assert bench.hub.failures == 1


def test_a_hub_that_takes_nothing_in_between_is_an_outage_and_loses_nothing(bench: Bench) -> None:
    for message in ("one", "two"):
        bench.log(message)
    bench.exit("two")
    bench.hub.everything = True
    bench.rounds(4 * FAULTS)
    bench.hub.everything = False
    bench.rounds(2)
    assert bench.messages() == ["one", "two"]
    [told] = bench.hub.bodies("/exit")
    assert told["error"]["message"] == "two"


@pytest.mark.parametrize("answer", PROXY, ids=lambda answer: f"{answer[0]}-{len(answer[1])}")
def test_what_a_proxy_answers_never_counts(bench: Bench, answer: Answer) -> None:
    bench.hub.fails_with = answer
    bench.log(POISON)
    bench.rounds(3 * FAULTS, bench.sender.faults.accepted)
    assert bench.messages() == []
    [waiting] = bench.spool.pending()
    assert waiting.records[0].payload["message"] == POISON


def test_an_exit_at_which_the_hub_fails_is_sent_again_without_its_free_text(bench: Bench) -> None:
    bench.exit(POISON)
    bench.rounds(2 * FAULTS, bench.sender.faults.accepted)
    [told] = bench.hub.bodies("/exit")
    assert (told["outcome"], told["checkpoint_step"], told["error"]["code"]) == ("failed", 7, "CL-1521")
    assert told["error"]["where"] == ""
    assert bench.spool.outbox() == []


class AuditEnd(Exit):
    """The end of a kind that a test adds."""

    note: Short = ""


def test_a_job_whose_figures_the_hub_does_not_take_has_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "audit", JobForm(TrainSpec, PROTOCOL_VERSION, AuditEnd))
    body = AuditEnd(participant_id="prt_1", attempt=1, outcome="done", kind="audit", subject="a", note=POISON)
    bench.spool.post(run_id="run_1", participant_id="prt_1", kind="exit", attempt=1, body=body)
    bench.rounds(2 * FAULTS, bench.sender.faults.accepted)
    [told] = bench.hub.bodies("/exit")
    assert (told["kind"], told["subject"], told["note"]) == ("audit", "a", "")
    assert (told["outcome"], told["error"]["code"]) == ("failed", "CL-1415")


def test_an_exit_that_is_refused_is_sent_again_without_its_free_text(bench: Bench) -> None:
    bench.hub.fails_with = (422, {"code": "CL-1415", "message": "malformed", "remedy": "", "details": {}})
    bench.exit(POISON)
    bench.rounds(2)
    [told] = bench.hub.bodies("/exit")
    assert POISON not in json.dumps(told)
