"""Tensor frames: the book against what a peer recorded at gRPC, the budget, and a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from splitcore.errors import AppError
from splitcore.wire.protocol.exchange import CONTROL
from splitcore.wire.protocol.frames import PREFIX, FrameType, encode_bare, header_size
from splitcore.wire.protocol.messages import Kind, Message
from splitcore.wire.protocol.outgoing import AGAIN
from splitcore.wire.protocol.session import Session
from splitcore.wire.tests.doors import CLIENT, SERVER
from splitcore.wire.tests.factories import IDS, body_down, head_up, limits
from splitcore.wire.tests.relay import Relay
from splitcore.wire.transport.grpc_channel import dial
from splitcore.wire.transport.grpc_listener import GrpcListener, serve
from workers.ledger.book import HUB, START, Book, chained
from workers.ledger.frames import FrameLedger
from workers.ledger.summary import totals
from workers.tests.support import wait_for

RUN = IDS.run


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.sqlite3")


def ledger(book: Book, *, attempt: int = 1, budget: int | None = None, full: bool = False) -> FrameLedger:
    return FrameLedger(book, run_id=RUN, job_id="prt_1-train", attempt=attempt, budget=budget, full=full)


def open_door() -> GrpcListener:
    return serve(
        identity=SERVER,
        clients={IDS.participant: CLIENT.certificate_pem},
        limits={IDS.participant: limits("server")},
        host="127.0.0.1",
    )


def call(port: int, frames: FrameLedger) -> Session:
    return dial(
        "127.0.0.1",
        port,
        identity=CLIENT,
        server_certificate=SERVER.certificate_pem,
        limits=limits("client"),
        egress=frames.account("gpu"),
    )


@contextmanager
def recorded(door: GrpcListener, port: int, frames: FrameLedger) -> Iterator[tuple[Session, Session, list[bytes]]]:
    """Both ends of a conversation, and the byte strings that gRPC has handed to the far one."""
    arrived: list[bytes] = []
    deliver = Session.deliver

    def keep(self: Session, generation: int, data: bytes) -> None:
        if self is not near[0]:
            arrived.append(data)
        deliver(self, generation, data)

    near: list[Session] = [None]  # type: ignore[list-item]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "deliver", keep)
        near[0] = call(port, frames)
        far = door.accept(timeout=10)
        yield near[0], far, arrived
        near[0].close()
        far.close()


@pytest.mark.promise(11)
def test_the_book_has_every_frame_that_the_peer_recorded_to_the_byte(book: Book) -> None:
    with open_door() as door, ledger(book, full=True) as frames, recorded(door, door.address[1], frames) as ends:
        near, far, arrived = ends
        for step in range(10):
            near.send(head_up(step), timeout=10)
            far.receive(timeout=10)
            near.send(Message(Kind.STEP_BEGIN, step=step, body={"tokens": 3}), timeout=10)
            far.receive(timeout=10)
            far.send(body_down(step, torch.ones(1, 2, 16)), timeout=10)
            near.receive(timeout=10)
    lines = {one.kind: one for one in book.lines(RUN)}
    assert sum(one.nbytes for one in lines.values()) == sum(len(frame) for frame in arrived)
    assert sum(one.count for one in lines.values()) == len(arrived)
    assert lines["activations:head_up"].count == lines["step_begin"].count == 10
    assert {one.receiver for one in lines.values()} == {"gpu"}
    digest = content = START
    for frame in arrived:
        if b'"kind":"activations"' in frame:
            digest = chained(digest, frame[: PREFIX.size + header_size(frame)])
            content = chained(content, frame)
    assert (lines["activations:head_up"].digest, lines["activations:head_up"].content_digest) == (digest, content)
    assert lines["activations:head_up"].hashed == 10


def test_frames_that_go_once_more_after_a_break_are_counted_once_more(book: Book) -> None:
    with open_door() as door, ledger(book) as frames:
        relay = Relay(door.address[1])
        near = call(relay.port, frames)
        far = door.accept(timeout=10)
        near.send(head_up(0), timeout=10)
        assert far.receive(timeout=10).step == 0
        relay.swallow()
        for step in range(1, 4):
            near.send(head_up(step), timeout=10)
        wait_for(lambda: near.exchange.outgoing.furthest == 4, what="the frames' way to gRPC")
        relay.cut()
        relay.restore()
        assert [far.receive(timeout=20).step for _ in range(3)] == [1, 2, 3]
        near.close()
        far.close()
        relay.close()
    lines = {one.kind: one for one in book.lines(RUN)}
    assert lines["activations:head_up"].count == 4
    assert lines[AGAIN].count == 3
    assert sum(one.nbytes for one in lines.values()) == near.sent.bytes


def send_until_refused(near: Session) -> tuple[AppError, int]:
    """The refusal, and how many messages went before it."""
    for step in range(100):
        try:
            near.send(head_up(step), timeout=10)
        except AppError as error:
            return error, step
    raise AssertionError("every message was let through")


@pytest.mark.promise(11, figure="not a byte beyond the budget")
def test_beyond_the_budget_a_message_is_not_sent_and_not_a_byte_of_it_leaves(book: Book) -> None:
    size = 100_000
    book.add("telemetry", 40_000, b"head", run_id=RUN, receiver=HUB)
    with (
        open_door() as door,
        ledger(book, budget=size) as frames,
        recorded(door, door.address[1], frames) as (near, far, arrived),
    ):
        error, sent = send_until_refused(near)
        assert (error.code, error.details["budget"]) == ("CL-1429", size)
        assert sent > 5
        assert [far.receive(timeout=10).step for _ in range(sent)] == list(range(sent))
        assert not far.ready()
        near.abort("CL-1429")
        assert sum(b'"kind":"activations"' in frame for frame in arrived) == sent
    most_control = 60 * 100  # frames that bring no message are a prefix, and a code at most
    assert size - most_control - 5_000 < book.spent(RUN) <= size + most_control


def test_the_budget_is_of_the_run_and_an_earlier_attempt_counts(book: Book) -> None:
    with ledger(book, budget=10_000) as frames:
        frames.account("gpu").leaves("norms", b"x" * 9_000, 38)
    with ledger(book, attempt=2, budget=10_000) as frames:
        frames.account("gpu").admit(900)
        with pytest.raises(AppError, match="CL-1429"):
            frames.account("gpu").admit(200)


def test_what_leaves_to_the_hub_meanwhile_takes_from_the_budget_too(book: Book) -> None:
    with ledger(book, budget=10_000) as frames:
        frames.account("gpu").admit(2_000)
        book.reserve(RUN, 7_500, 10_000)  # as each request does
        with pytest.raises(AppError, match="CL-1429"):
            frames.account("gpu").admit(600)


def test_the_hash_goes_on_over_attempts(book: Book) -> None:
    seen = [bytes([number]) * 50 for number in range(6)]
    for attempt in (1, 2):
        with ledger(book, attempt=attempt) as frames:
            for frame in seen[3 * attempt - 3 : 3 * attempt]:
                frames.account("gpu").leaves("norms", frame, 38)
    digest = START
    for frame in seen:
        digest = chained(digest, frame[:38])
    [line] = book.lines(RUN)
    assert (line.digest, line.count, line.nbytes, line.hashed) == (digest, 6, 300, 2)


def test_one_frame_of_many_is_hashed_in_full_and_all_where_the_policy_asks(book: Book) -> None:
    for attempt, full in ((1, False), (2, True)):
        before = sum(one.hashed for one in book.lines(RUN))
        with ledger(book, attempt=attempt, full=full) as frames:
            for _ in range(130):
                frames.account("gpu").leaves("norms", b"x" * 50, 38)
        assert sum(one.hashed for one in book.lines(RUN)) - before == (130 if full else 3)


def test_control_frames_beside_the_messages_are_in_the_account(book: Book) -> None:
    with ledger(book, budget=1_000) as frames:
        for _ in range(20):
            frames.account("gpu").leaves(CONTROL, b"x" * 38, 38)
        with pytest.raises(AppError, match="CL-1429"):
            frames.account("gpu").admit(300)


KILLED = """
import os, signal, sys
from pathlib import Path
from workers.ledger.book import Book
from workers.ledger.frames import FrameLedger
book = Book(Path(sys.argv[1]))
frames = FrameLedger(book, run_id="run_1", job_id="prt_1-train", attempt=1)
with frames:
    account = frames.account("gpu")
    for _ in range(5):
        account.leaves("norms", b"x" * 50, 38)
    while not book.lines("run_1"):
        pass
    account.leaves("norms", b"x" * 50, 38)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_its_last_interval_and_the_book_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    [total] = totals(Book(path), "run_1")
    assert (total.count, total.bytes) == (5, 250)
    [note] = total.notes
    assert "Attempt 1 was killed" in note


def test_a_process_that_ended_well_or_still_lives_leaves_no_note(book: Book) -> None:
    with ledger(book) as frames:
        frames.account("gpu").leaves("norms", b"x" * 50, 38)
        frames.tell()
        assert book.writers(RUN)[0].pid == os.getpid()
        assert totals(book, RUN)[0].notes == []
    assert totals(book, RUN)[0].notes == []


def test_halves_that_run_at_once_share_one_budget(book: Book, tmp_path: Path) -> None:
    halves = [
        FrameLedger(Book(tmp_path / "ledger.sqlite3"), run_id=RUN, job_id=f"job_{number}", attempt=1, budget=1_000)
        for number in range(8)
    ]
    let_through = 0
    for half in halves:
        with suppress(AppError):
            half.admit(1_000)
            let_through += 1
    assert let_through == 1


def test_what_a_killed_half_took_is_not_given_back(book: Book) -> None:
    killed = ledger(book, budget=1_000)
    killed.admit(900)  # and it dies before it has told of a single frame
    with ledger(book, attempt=2, budget=1_000) as frames, pytest.raises(AppError, match="CL-1429"):
        frames.admit(200)


def test_a_half_that_ends_well_gives_back_what_it_did_not_use(book: Book) -> None:
    with ledger(book, budget=100_000) as frames:
        frames.admit(100)
    with ledger(book, attempt=2, budget=100_000) as frames:
        frames.admit(99_900)
        with pytest.raises(AppError, match="CL-1429"):
            frames.admit(1)


def test_a_peer_that_asks_for_one_message_without_end_meets_the_budget(book: Book) -> None:
    frames = ledger(book, budget=50_000)
    session = Session(limits("client"), authentic=True, egress=frames.account("gpu"))
    generation, _ = session.attach(0)
    session.send(head_up(0))
    left = 0
    for _ in range(1_000):
        while (frame := session.next_frame(generation, wait=False)) is not None:
            left += len(frame)
        session.deliver(generation, encode_bare(FrameType.RESEND, 0, 0))
    assert left < 51_000
    with pytest.raises(AppError, match="CL-1429"):
        session.receive(timeout=1)
