"""The sender against a hub that is away, slow to agree, or refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from workers.contracts import Desired, Exit, LogPayload, Ready, SegmentUpload
from workers.hub import HubClient, HubError
from workers.outbox.faults import PAUSE_MOST
from workers.outbox.sender import Sender
from workers.outbox.spool import Spool
from workers.tests.support import FakeHub, enrolled_home, fake_hub


@dataclass
class Bench:
    """A spool, a hub and the sender between them."""

    hub: FakeHub
    spool: Spool
    sender: Sender
    desired: list[tuple[str, int, Desired]]

    def write(self, count: int, participant: str = "prt_1") -> None:
        for _ in range(count):
            payload = LogPayload(level="info", message="hello")
            self.spool.record(participant_id=participant, attempt=1, kind="log", payload=payload)

    def exit(self) -> None:
        body = Exit(participant_id="prt_1", attempt=1, outcome="done")
        self.spool.post(run_id="run_1", participant_id="prt_1", kind="exit", attempt=1, body=body)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with fake_hub() as hub:
        home = enrolled_home(tmp_path, hub.url)
        spool, desired = Spool(home.spool_file), []
        spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
        client = HubClient.of(home)
        clock = count(0.0, PAUSE_MOST).__next__  # no pause lasts beyond the next look
        yield Bench(hub, spool, Sender(spool, client, lambda *told: desired.append(told), clock=clock), desired)
        client.close()


def test_an_exit_arrives_after_every_record(bench: Bench) -> None:
    bench.write(1203)
    bench.exit()
    bench.sender.send_all()
    assert sorted(bench.hub.records["prt_1"]) == list(range(1, 1204))
    assert all(len(body["records"]) <= 500 for body in bench.hub.bodies("/telemetry"))
    assert bench.hub.calls[-1][1].endswith("/exit")
    assert bench.desired[-1] == ("prt_1", 1, Desired.RUNNING)
    bench.sender.send_all()
    assert len(bench.hub.bodies("/exit")) == 1


@pytest.mark.promise(30, figure="a clock that is ten minutes wrong: records within a second of the hub's time")
@pytest.mark.parametrize("minutes", [10, -10])
def test_records_are_dated_by_the_hub_s_clock_however_wrong_the_worker_s_is(bench: Bench, minutes: int) -> None:
    ahead = timedelta(minutes=minutes)
    bench.sender._hub.signer.clock.follow(datetime.now(UTC) + ahead)  # what each list of work tells
    before = datetime.now(UTC)
    bench.write(3)
    bench.sender.send_all()
    told = [datetime.fromisoformat(record["at"]) - ahead for record in bench.hub.records["prt_1"].values()]
    assert told == sorted(told)
    assert before - timedelta(seconds=1) < told[0] <= told[-1] < datetime.now(UTC) + timedelta(seconds=1)


def test_an_outage_loses_and_doubles_nothing(bench: Bench) -> None:
    bench.write(3)
    bench.exit()
    bench.hub.away = True
    with pytest.raises(HubError) as raised:
        bench.sender.send_all()
    assert raised.value.transient
    bench.write(2)
    bench.hub.away = False
    bench.sender.send_all()
    assert sorted(bench.hub.records["prt_1"]) == [1, 2, 3, 4, 5]
    assert len(bench.hub.bodies("/exit")) == 1


def test_a_lost_reply_makes_no_second_copy(bench: Bench) -> None:
    bench.write(2)
    bench.sender.send_all()
    bench.hub.records["prt_1"][3] = {"seq": 3}  # stored, but the answer never came
    bench.write(2)
    bench.sender.send_all()
    assert sorted(bench.hub.records["prt_1"]) == [1, 2, 3, 4]


def test_what_belongs_to_a_newer_attempt_elsewhere_is_dropped(bench: Bench) -> None:
    bench.write(2)
    bench.exit()
    superseded = (409, {"code": "CL-1503", "message": "older", "remedy": "", "details": {}})
    bench.hub.refusals = {"/telemetry": superseded, "/exit": superseded}
    bench.sender.send_all()
    assert bench.spool.pending() == []
    assert bench.spool.outbox() == []


def test_a_quarantine_keeps_everything_for_later(bench: Bench) -> None:
    bench.write(2)
    bench.hub.refusals = {"/telemetry": (400, {"code": "CL-1413", "message": "quarantined"})}
    with pytest.raises(HubError):
        bench.sender.send_all()
    bench.hub.refusals = {}
    bench.sender.send_all()
    assert sorted(bench.hub.records["prt_1"]) == [1, 2]


def test_a_segment_goes_before_the_exit(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(b"tensors")
    body = SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32)
    bench.spool.post(run_id="run_1", participant_id="prt_1", kind="segment", attempt=1, body=body, file=file)
    bench.exit()
    bench.sender.send_all()
    (_, first, content), (_, second, _) = bench.hub.calls
    assert "/runs/run_1/segments/head?participant_id=prt_1&attempt=1&sha256=abab" in first
    assert content == b"tensors"
    assert second.endswith("/exit")


def test_a_tokenizer_file_goes_under_its_own_name_and_a_refusal_does_not_hold_back_the_exit(
    bench: Bench, tmp_path: Path
) -> None:
    for name in ("manifest.json", "tokenizer.json"):
        file = tmp_path / name
        file.write_bytes(name.encode())
        body = SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32)
        bench.spool.post(run_id="run_1", participant_id="prt_1", kind="tokenizer", attempt=1, body=body, file=file)
    bench.exit()
    bench.hub.refusals = {"/tokenizer/tokenizer.json": (422, {"code": "CL-1706", "message": "not the model's"})}
    bench.sender.send_all()
    assert bench.hub.bodies("/runs/run_1/tokenizer/manifest.json") == [b"manifest.json"]
    assert len(bench.hub.bodies("/exit")) == 1


def test_an_address_does_not_wait_for_records(bench: Bench) -> None:
    ready = Ready(participant_id="prt_1", attempt=1, host="h", port=9100)
    bench.spool.post(run_id="run_1", participant_id="prt_1", kind="ready", attempt=1, body=ready)
    bench.sender.send_all()
    assert bench.hub.bodies("/ready") == [ready.model_dump()]


def forget(bench: Bench, beyond: int) -> None:
    """The hub as a restored backup has it: without the records after `beyond`."""
    kept = bench.hub.records["prt_1"]
    bench.hub.records["prt_1"] = {seq: record for seq, record in kept.items() if seq <= beyond}


def test_a_restored_hub_gets_again_what_it_lost(bench: Bench) -> None:
    bench.write(150)
    bench.sender.send_all()
    forget(bench, 100)
    bench.write(1)
    bench.exit()
    bench.sender.send_all()
    assert sorted(bench.hub.records["prt_1"]) == list(range(1, 152))
    assert len(bench.hub.bodies("/exit")) == 1


def test_numbers_whose_records_are_gone_are_closed_with_a_note(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.outbox.spool.KEPT", 20)
    bench.write(150)
    bench.sender.send_all()
    forget(bench, 100)
    bench.write(1)
    bench.sender.send_all()
    kept = bench.hub.records["prt_1"]
    assert sorted(kept) == list(range(1, 152))
    notes = [seq for seq, record in kept.items() if "a restored hub asked" in record["payload"]["message"]]
    assert notes == list(range(101, 131))


def test_messages_that_a_restored_hub_lost_are_sent_again_after_the_records(bench: Bench) -> None:
    bench.write(10)
    bench.exit()
    bench.sender.send_all()
    forget(bench, 5)
    bench.spool.doubt("prt_1")
    bench.sender.send_all()
    assert sorted(bench.hub.records["prt_1"]) == list(range(1, 11))
    assert len(bench.hub.bodies("/exit")) == 2
    assert bench.hub.calls[-1][1].endswith("/exit")


def test_records_of_an_attempt_that_a_restored_hub_does_not_know_yet_wait(bench: Bench) -> None:
    bench.spool.claim(run_id="run_1", participant_id="prt_1", attempt=3)
    payload = LogPayload(level="info", message="hello")
    bench.spool.record(participant_id="prt_1", attempt=3, kind="log", payload=payload)
    refusal = {"code": "CL-1503", "message": "older", "remedy": "", "details": {"attempt": 3, "newest": 1}}
    bench.hub.refusals["/telemetry"] = (409, refusal)
    bench.sender.send_all()
    bench.hub.refusals.clear()
    bench.sender.send_all()
    assert sorted(bench.hub.records["prt_1"]) == [1]
    assert bench.spool.highest_attempt("prt_1") == 3
