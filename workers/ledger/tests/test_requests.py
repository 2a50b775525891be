"""Counter equals capture: what the book says of requests is what a recorder on the network has, to the byte."""

from __future__ import annotations

import re
import socket
import sqlite3
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitcore.wire.transport.certificates import create_identity
from workers.contracts import Beat, LogPayload, Ready, SegmentUpload
from workers.hub import HubClient, HubError, Signer
from workers.ledger.book import START, Book, Line, chained
from workers.ledger.requests import place_of
from workers.outbox.spool import Spool

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
SLOW_DOWN = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class Recorder:
    """A hub that keeps every byte that it reads, and answers each request."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.total = 0
        self.answers: list[bytes] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(near,), daemon=True).start()

    def _talk(self, near: socket.socket) -> None:
        kept = b""
        while True:
            while b"\r\n\r\n" not in kept:
                data = near.recv(1 << 16)
                if not data:
                    return
                self.total += len(data)
                kept += data
            head, kept = kept.split(b"\r\n\r\n", 1)
            self.heads.append(head + b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            while len(kept) < (int(length[1]) if length else 0):
                data = near.recv(1 << 16)
                self.total += len(data)
                kept += data
            kept = kept[int(length[1]) if length else 0 :]
            near.sendall(self.answers.pop(0) if self.answers else ANSWER)

    def close(self) -> None:
        """Hang up."""
        self._door.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    one = Recorder()
    yield one
    one.close()


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.sqlite3")


def client(recorder: Recorder, book: Book) -> HubClient:
    return HubClient(recorder.url, Signer(create_identity("w"), "wrk_1"), book)


def ready() -> Ready:
    return Ready(participant_id="prt_1", attempt=1, host="gpu.example", port=9100)


@pytest.mark.promise(11, figure="counter equals capture, ±0 bytes")
def test_every_way_to_send_is_counted_to_the_byte_with_its_run_and_kind(
    recorder: Recorder, book: Book, tmp_path: Path
) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(bytes(3_000_000))
    hub = client(recorder, book)
    for _ in range(3):
        hub.post("/runs/run_1/ready", ready())
    hub.upload("/runs/run_1/segments/head", SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32), file)
    hub.post("/datasets", Beat(lanes=[]))
    hub.download("/api/worker/v1/adapters/adp_1", tmp_path / "out", most_bytes=100)
    hub.close()
    lines = {(one.run_id, one.kind): one for one in book.lines()}
    assert set(lines) == {("run_1", "ready"), ("run_1", "segments"), ("", "datasets"), ("", "download")}
    assert lines["run_1", "ready"].count == 3
    assert lines["run_1", "segments"].nbytes > 3_000_000
    assert sum(one.nbytes for one in lines.values()) == recorder.total


def test_the_hash_runs_over_the_heads_in_their_order(recorder: Recorder, book: Book) -> None:
    hub = client(recorder, book)
    for _ in range(3):
        hub.post("/runs/run_1/ready", ready())
    hub.close()
    digest = START
    for head in recorder.heads:
        digest = chained(digest, head)
    assert book.lines("run_1")[0].digest == digest


def test_each_try_counts_and_one_that_reached_nobody_does_not(recorder: Recorder, book: Book) -> None:
    recorder.answers = [SLOW_DOWN]
    hub = client(recorder, book)
    hub.post("/runs/run_1/ready", ready(), patience=5.0)
    hub.close()
    assert book.lines()[0].count == 2
    assert book.spent("run_1") == recorder.total
    recorder.close()
    nobody = HubClient("http://127.0.0.1:9", Signer(create_identity("w"), "wrk_1"), book)
    with pytest.raises(HubError):
        nobody.post("/runs/run_2/ready", ready())
    assert book.lines("run_2") == []


def test_what_left_while_the_ledger_could_not_be_written_is_written_later(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.add("beat", 10, b"first")
    with monkeypatch.context() as broken:
        broken.setattr(book, "_store", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk is full")))
        book.add("beat", 20, b"second")
    assert book.lines()[0].count == 1
    book.add("beat", 30, b"third")
    [line] = book.lines()
    assert (line.count, line.nbytes) == (3, 60)
    assert line.digest == chained(chained(chained(START, b"first"), b"second"), b"third")


def test_several_processes_worth_of_writers_lose_nothing(tmp_path: Path) -> None:
    def write() -> None:
        book = Book(tmp_path / "ledger.sqlite3")
        for _ in range(50):
            book.add("beat", 7, b"x")

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [line] = Book(tmp_path / "ledger.sqlite3").lines()
    assert (line.count, line.nbytes) == (300, 2100)


@pytest.mark.parametrize(
    ("method", "path", "place"),
    [
        ("POST", "/api/worker/v1/runs/run_1/telemetry", ("run_1", "telemetry")),
        ("PUT", "/hub/api/worker/v1/runs/run_1/segments/head", ("run_1", "segments")),
        ("GET", "/api/worker/v1/assignments", ("", "assignments")),
        ("GET", "/health", ("", "download")),
        ("POST", "/api/worker/v1/runs/run_1/unheard_of", ("", "other")),
    ],
)
def test_a_request_is_named_by_its_path(method: str, path: str, place: tuple[str, str]) -> None:
    assert place_of(method, path) == place


def test_the_records_that_wait_are_no_part_of_it(tmp_path: Path) -> None:
    spool, book = Spool(tmp_path / "spool.sqlite3"), Book(tmp_path / "ledger.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    spool.record(participant_id="prt_1", attempt=1, kind="log", payload=LogPayload(level="info", message="waits"))
    assert book.lines() == []
    assert book.spent("run_1") == 0


def test_a_line_starts_with_the_empty_chain() -> None:
    assert Line("run_1", "hub", "exit").digest == START


def test_what_was_handed_on_of_a_file_is_counted_when_the_connection_breaks(tmp_path: Path, book: Book) -> None:
    door = socket.create_server(("127.0.0.1", 0))

    def read_a_little() -> None:
        near, _ = door.accept()
        near.recv(1 << 16)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.close()

    threading.Thread(target=read_a_little, daemon=True).start()
    file = tmp_path / "head.safetensors"
    file.write_bytes(bytes(8_000_000))
    hub = HubClient(f"http://127.0.0.1:{door.getsockname()[1]}", Signer(create_identity("w"), "wrk_1"), book)
    upload = SegmentUpload(participant_id="prt_1", attempt=1, sha256="ab" * 32)
    with pytest.raises(HubError):
        hub.upload("/runs/run_1/segments/head", upload, file)
    hub.close()
    door.close()
    assert book.spent("run_1") > 1 << 16
