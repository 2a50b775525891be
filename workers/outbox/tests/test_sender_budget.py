"""The site's budget for what may leave in a run holds for records and files too; how a job ended always goes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from splitcore.errors import AppError
from workers.contracts import Exit, LogPayload, SegmentUpload
from workers.hub import HubClient, HubError
from workers.ledger.book import Book
from workers.ledger.budget import RequestBudget
from workers.ledger.requests import Take
from workers.outbox.faults import PAUSE_MOST
from workers.outbox.sender import Sender
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.settings import WorkerHome
from workers.tests.support import FakeHub, enrolled_home, fake_hub

BUDGET = 20_000


@dataclass
class Bench:
    """A site with a budget, a hub and the sender between them."""

    home: WorkerHome
    hub: FakeHub
    spool: Spool
    sender: Sender
    ended: list[tuple[str, int, str]] = field(default_factory=list)

    def log(self, text: str) -> None:
        payload = LogPayload(level="info", message=text)
        self.spool.record(participant_id="prt_1", attempt=1, kind="log", payload=payload)

    def over(self, participant_id: str, attempt: int, error: AppError) -> None:
        self.ended.append((participant_id, attempt, error.code))

    def ledger(self) -> tuple[Book, Take]:
        """What counts a client's requests, and what takes them from the budget."""
        book = Book(self.home.ledger_file)
        return book, RequestBudget(self.home, book).take

    def exit(self) -> None:
        body = Exit(participant_id="prt_1", attempt=1, outcome="done")
        self.spool.post(run_id="run_1", participant_id="prt_1", kind="exit", attempt=1, body=body)

    def left(self) -> int:
        """Bytes of records and files; what always goes doesn't count against the site."""
        return sum(line.nbytes for line in Book(self.home.ledger_file).lines("run_1") if line.kind != "exit")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with fake_hub() as hub:
        home = enrolled_home(tmp_path, hub.url)
        home.policy_file.write_text(SitePolicy(egress_bytes_per_run=BUDGET).to_yaml())
        spool = Spool(home.spool_file)
        spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
        client, clock = HubClient.of(home), count(0.0, PAUSE_MOST).__next__
        found = Bench(home, hub, spool, Sender(spool, client, lambda *_: None))
        found.sender = Sender(spool, client, lambda *_: None, over_budget=found.over, clock=clock)
        yield found
        client.close()


def test_records_beyond_the_budget_stay_here_and_the_exit_goes_as_a_failure(bench: Bench) -> None:
    for _ in range(60):
        bench.log("x" * 500)
        bench.sender.send_all()
    bench.exit()
    bench.sender.send_all()
    assert BUDGET / 2 < bench.left() <= BUDGET
    assert bench.ended[0] == ("prt_1", 1, "CL-1429")
    [told] = bench.hub.bodies("/exit")
    assert (told["outcome"], told["error"]["code"]) == ("failed", "CL-1429")
    assert bench.spool.outbox() == []


def test_records_that_stayed_go_once_the_budget_is_raised(bench: Bench) -> None:
    for _ in range(60):
        bench.log("x" * 500)
    bench.sender.send_all()
    assert "prt_1" not in bench.hub.records
    bench.home.policy_file.write_text(SitePolicy(egress_bytes_per_run=10 * BUDGET).to_yaml())
    bench.sender.send_all()
    assert len(bench.hub.records["prt_1"]) == 60


def test_a_file_beyond_the_budget_is_given_up_and_the_exit_goes_as_a_failure(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(bytes(BUDGET))
    body = SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32)
    bench.spool.post(run_id="run_1", participant_id="prt_1", kind="segment", attempt=1, body=body, file=file)
    bench.exit()
    bench.sender.send_all()
    assert not any("segments" in path for _, path, _ in bench.hub.calls)
    [told] = bench.hub.bodies("/exit")
    assert (told["outcome"], told["error"]["code"]) == ("failed", "CL-1429")


def test_a_file_that_the_hub_asks_for_again_and_again_leaves_as_often_as_the_budget_allows(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(bytes(BUDGET // 3))
    body = SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32)
    for _ in range(6):
        bench.spool.post(run_id="run_1", participant_id="prt_1", kind="segment", attempt=1, body=body, file=file)
        bench.sender.send_all()
        bench.spool.doubt("prt_1")
    assert 0 < bench.left() <= BUDGET


def test_all_waits_while_the_policy_cannot_be_read_and_a_part_that_did_its_work_ends_well(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(bytes(1000))
    bench.log("x" * 500)
    bench.home.policy_file.write_text("egress_bytes_per_run: [")
    body = SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32)
    bench.spool.post(run_id="run_1", participant_id="prt_1", kind="segment", attempt=1, body=body, file=file)
    bench.exit()
    for _ in range(5):
        bench.sender.send_all()
    assert bench.hub.calls == []
    assert bench.ended == []
    bench.home.policy_file.write_text(SitePolicy(egress_bytes_per_run=BUDGET).to_yaml())
    bench.sender.send_all()
    assert len(bench.hub.records["prt_1"]) == 1
    assert any("segments" in path for _, path, _ in bench.hub.calls)
    assert [told["outcome"] for told in bench.hub.bodies("/exit")] == ["done"]


def test_an_agent_that_starts_again_still_tells_that_a_file_was_given_up(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(bytes(BUDGET))
    body = SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32)
    bench.spool.post(run_id="run_1", participant_id="prt_1", kind="segment", attempt=1, body=body, file=file)
    bench.sender.send_all()
    again = Sender(bench.spool, HubClient.of(bench.home), lambda *_: None)
    bench.log("a record that fits")
    bench.exit()
    again.send_all()
    [told] = bench.hub.bodies("/exit")
    assert (told["outcome"], told["error"]["code"]) == ("failed", "CL-1429")


def test_a_hub_that_is_away_costs_nothing_of_the_budget(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        nowhere = f"http://127.0.0.1:{door.getsockname()[1]}"
    away = HubClient(nowhere, bench.sender._hub.signer, *bench.ledger())
    for _ in range(60):
        bench.log("x" * 500)
    for _ in range(3):
        with pytest.raises(HubError):
            Sender(bench.spool, away, lambda *_: None, over_budget=bench.over).send_all()
    assert Book(bench.home.ledger_file).spent("run_1") == 0
    assert bench.ended == []
