"""Messages whose large tensors come in parts: what arrives is what was sent, or an error that names what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Thread

import pytest
import torch

from splitcore.codecs.payload import Payload
from splitcore.codecs.tensors import decode
from splitcore.wire.protocol import frames, parts
from splitcore.wire.protocol.frames import PREFIX, FrameType
from splitcore.wire.protocol.messages import FrameError, Kind, Message, PeerError, Phase
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.session import Session
from splitcore.wire.tests.factories import IDS, LENGTH, ROWS, WIDTH, body_down, head_up, limits
from splitcore.wire.transport.faults import FaultRates, FaultyWire
from splitcore.wire.transport.memory import memory_pair

SMALL = 256  # bytes of a part in these tests: a full tensor of the factories has twelve of them
SERVER = limits("server")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", SMALL)


def frames_of(message: Message, sequence: int = 1) -> list[bytes]:
    return list(frames.encode(replace(message, session=IDS), sequence, max_frame_bytes=1 << 30).frames)


@pytest.mark.parametrize("codec", ["fp32", "bf16"])
def test_a_large_tensor_arrives_in_parts_as_it_was_sent(codec: str) -> None:
    client, server = memory_pair(limits("client", codec=codec), limits("server", codec=codec))
    message = head_up(3, codec=codec)
    nbytes = client.send(message)
    arrived = server.receive(timeout=1)
    assert len(arrived.tensors["hidden"].buffers) > 1
    assert list(arrived.tensors) == ["mask", "hidden"]
    for name in message.tensors:
        assert torch.equal(decode(arrived.tensors[name]), decode(message.tensors[name]))
    assert nbytes == server.received.by_kind["activations:head_up"] == client.sent.by_kind["activations:head_up"]
    server.send(Message(Kind.ACTIVATIONS, 3, phase=Phase.BODY_DOWN, tensors={"hidden": arrived.tensors["hidden"]}))
    assert torch.equal(decode(client.receive(timeout=1).tensors["hidden"]), decode(message.tensors["hidden"]))


def test_its_first_frame_holds_the_header_and_each_other_one_a_part() -> None:
    first, *others = (frames.read_prefix(data, 1 << 30) for data in frames_of(head_up(), 7))
    assert (first.type, first.sequence, first.buffer_bytes) == (FrameType.DATA, 7, ROWS * LENGTH)
    assert {one.type for one in others} == {FrameType.MORE}
    assert [one.sequence for one in others] == list(range(8, 8 + ROWS * LENGTH * WIDTH * 4 // SMALL))
    assert {one.buffer_bytes for one in others} == {SMALL}


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_network_changes_nothing_in_it(seed: int) -> None:
    rates = FaultRates(drop=0.05, duplicate=0.05, reorder=0.05, corrupt=0.02, truncate=0.02, delay=0.05)
    client, server = memory_pair(limits("client"), limits("server"), up=FaultyWire(rates, seed), probe_after=0.01)

    def ask() -> None:
        for step in range(12):
            client.send(head_up(step), timeout=20)
            client.receive(timeout=20)

    thread = Thread(target=ask)
    thread.start()
    for step in range(12):
        arrived = server.receive(timeout=20)
        assert arrived.step == step
        assert torch.equal(decode(arrived.tensors["hidden"]), decode(head_up(step).tensors["hidden"]))
        server.send(body_down(step, torch.zeros(1, 1, WIDTH)))
    thread.join(timeout=20)
    assert server.received.messages == 12


def test_a_connection_that_breaks_between_two_parts_goes_on_with_the_next_one() -> None:
    client, server = Session(limits("client")), Session(limits("server"))
    generation, other = client.attach()[0], server.attach()[0]
    client.send(head_up(5))
    for _ in range(4):  # an acknowledgement, the first frame, two parts
        server.deliver(other, client.next_frame(generation, wait=False) or b"")
    client.next_frame(generation, wait=False)  # lost with the connection
    client.detach(generation)
    server.detach(other)
    other, have = server.attach()
    assert have == 3
    generation, _ = client.attach(have)
    while (frame := client.next_frame(generation, wait=False)) is not None:
        server.deliver(other, frame)
    assert torch.equal(decode(server.receive(timeout=1).tensors["hidden"]), decode(head_up(5).tensors["hidden"]))


def test_a_message_of_more_frames_than_the_window_gets_through_alone() -> None:
    client, server = memory_pair(limits("client"), limits("server"), window=Window(frames=2))
    client.send(head_up(0), timeout=1)
    assert server.receive(timeout=1).step == 0
    client.send(head_up(1), timeout=1)
    assert server.receive(timeout=1).step == 1


def without_its_last_part(data: list[bytes]) -> Iterator[bytes]:
    yield from data[:-1]
    yield from frames_of(Message(Kind.STEP_BEGIN, body={"tokens": 1}), len(data))


def with_a_shorter_part(data: list[bytes]) -> Iterator[bytes]:
    yield data[0]
    yield more(2, data[1][PREFIX.size : -4])


def with_one_part_too_many(data: list[bytes]) -> Iterator[bytes]:
    yield from data
    yield more(len(data) + 1, bytes(SMALL))


def with_a_part_alone(data: list[bytes]) -> Iterator[bytes]:
    yield more(1, data[1][PREFIX.size :])


def with_a_header_on_a_part(data: list[bytes]) -> Iterator[bytes]:
    yield data[0]
    yield more(2, data[1][PREFIX.size :], header=b"{}")


def with_a_value_that_is_not_finite(data: list[bytes]) -> Iterator[bytes]:
    yield from data[:-1]
    yield more(len(data), b"\0\0\xc0\x7f" + data[-1][PREFIX.size + 4 :])


def more(sequence: int, part: bytes, header: bytes = b"") -> bytes:
    start = PREFIX.pack(frames.MAGIC, frames.VERSION, FrameType.MORE, len(header), len(part), sequence, 0, 0)[:-4]
    return start + frames.checksum(start, header, [part]).to_bytes(4, "big") + header + part


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (without_its_last_part, "CL-1310"),
        (with_a_shorter_part, "CL-1310"),
        (with_one_part_too_many, "CL-1310"),
        (with_a_part_alone, "CL-1310"),
        (with_a_header_on_a_part, "CL-1301"),
        (with_a_value_that_is_not_finite, "CL-1311"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_parts_that_are_wrong_end_the_conversation(wrong: Callable[[list[bytes]], Iterator[bytes]], code: str) -> None:
    server = Session(SERVER)
    generation, _ = server.attach()
    for frame in wrong(frames_of(head_up())):
        server.deliver(generation, frame)
    assert server.over
    with pytest.raises(FrameError, match=code):
        server.receive(timeout=0.1)


def test_a_tensor_larger_than_the_contract_s_is_refused_at_its_header() -> None:
    wide = Message(
        Kind.ACTIVATIONS,
        phase=Phase.HEAD_UP,
        tensors={
            "hidden": Payload("fp32", (999, LENGTH, WIDTH), (bytes(999 * LENGTH * WIDTH * 4),)),
            "mask": head_up().tensors["mask"],
        },
    )
    server = Session(SERVER)
    generation, _ = server.attach()
    server.deliver(generation, frames_of(wide)[0])
    with pytest.raises(FrameError, match="CL-1309"):
        server.receive(timeout=0.1)


def test_a_poisoned_part_is_told_to_the_end_that_sent_it() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    hidden_BLD = torch.zeros(ROWS, LENGTH, WIDTH)
    hidden_BLD[-1, -1, -1] = float("inf")
    server.send(body_down(0, hidden_BLD))
    with pytest.raises(FrameError, match="CL-1311"):
        client.receive(timeout=1)
    with pytest.raises(PeerError, match="CL-1311"):
        server.receive(timeout=1)
