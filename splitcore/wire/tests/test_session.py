"""Sessions over the memory wire: order, once-only, window, resumption, and what a bad network must not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

import pytest
import torch

from splitcore.codecs.tensors import decode, encode
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.channel import Channel, wait_any
from splitcore.wire.protocol.frames import FrameType
from splitcore.wire.protocol.messages import ChannelError, FrameError, Kind, Message, PeerError, SessionIds
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.session import Session
from splitcore.wire.tests.factories import IDS, LENGTH, ROWS, body_down, head_up, limits
from splitcore.wire.transport.faults import FaultRates, FaultyWire
from splitcore.wire.transport.memory import memory_pair


@contextmanager
def running(server: Channel, steps: int, codec: str = "fp32") -> Iterator[list[BaseException]]:
    """A server half in its own thread that answers each activation with twice its value and steps a weight."""
    errors: list[BaseException] = []

    def answer() -> None:
        try:
            for _ in range(steps):
                message = server.receive(timeout=20)
                server.send(body_down(message.step, decode(message.tensors["hidden"]) * 2, codec=codec), timeout=20)
            server.close(timeout=20)
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=answer)
    thread.start()
    try:
        yield errors
    finally:
        thread.join(timeout=30)
        assert not thread.is_alive()


def train(client: Channel, steps: int, in_flight: int = 4) -> str:
    """A toy of the training loop whose result depends on every message, their order and their number."""
    weights = torch.zeros(16)
    for first in range(0, steps, in_flight):
        for step in range(first, first + in_flight):
            client.send(head_up(step), timeout=20)
        for step in range(first, first + in_flight):
            message = client.receive(timeout=20)
            assert message.step == step
            weights = weights * 0.9 + decode(message.tensors["hidden"]).sum((0, 1))
    return hashlib.sha256(weights.numpy().tobytes()).hexdigest()


@pytest.mark.parametrize(
    "message",
    [
        Message(Kind.AGGREGATE, body={"norm": 1.0}),
        Message(Kind.STEP_BEGIN, body={"tokens": 1, "rows": ["a row"]}),
        replace(head_up(), tensors={**head_up().tensors, "labels": encode(torch.zeros(ROWS, LENGTH), "i64")}),
        replace(head_up(), tensors={**head_up().tensors, "mask": encode(torch.ones(ROWS, LENGTH), "i64")}),
    ],
    ids=["a kind of the other end's", "a field", "a tensor", "a codec"],
)
def test_what_no_flow_declares_does_not_leave(message: Message) -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    with pytest.raises(FrameError, match="CL-1314"):
        client.send(message)
    client.send(Message(Kind.BYE))
    assert server.receive(timeout=1).kind is Kind.BYE


def test_both_ends_may_live_in_one_thread() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    client.send(head_up(1))
    assert server.receive(timeout=1).step == 1
    server.send(body_down(1, torch.ones(2, 3, 16)))
    answer = client.receive(timeout=1)
    assert torch.equal(decode(answer.tensors["hidden"]), torch.ones(2, 3, 16))
    assert answer.session == IDS


def test_the_tensor_may_be_changed_once_send_has_returned() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    hidden = torch.ones(1, 2, 16)
    server.send(body_down(0, hidden))
    hidden.zero_()
    assert decode(client.receive(timeout=1).tensors["hidden"]).sum() == 32


def test_bytes_are_counted_alike_at_both_ends_and_by_kind() -> None:
    client, server = memory_pair(limits("client", codec="bf16"), limits("server", codec="bf16"))
    nbytes = client.send(head_up(0, codec="bf16"))
    client.send(Message(Kind.STEP_BEGIN, body={"tokens": 3}))
    server.receive()
    server.receive()
    assert client.sent == server.received
    assert server.sent == client.received
    assert client.sent.by_kind["activations:head_up"] == nbytes
    assert client.sent.messages == 2
    assert nbytes - 4 * 12 * 16 * 2 - 4 * 12 < 300


@pytest.mark.promise(19, figure="difference 0.0")
@pytest.mark.parametrize("seed", range(4))
def test_a_bad_network_gives_the_same_weights_as_a_clean_one(seed: int) -> None:
    steps = 60
    rates = FaultRates(drop=0.05, duplicate=0.05, reorder=0.05, corrupt=0.02, delay=0.05)
    clean, disturbed = [], []
    for results, up, down in (
        (clean, None, None),
        (disturbed, FaultyWire(rates, seed), FaultyWire(rates, seed + 100)),
    ):
        client, server = memory_pair(limits("client"), limits("server"), up=up, down=down, probe_after=0.02)
        with running(server, steps) as errors:
            results.append(train(client, steps))
        assert errors == []
        assert (server.received.messages, client.received.messages) == (steps, steps)
    assert clean == disturbed
    assert up is not None
    assert set(up.faults) >= {"drop", "duplicate", "reorder"}


@pytest.mark.promise(24, figure="0 applied twice")
def test_every_frame_doubled_has_no_effect_twice() -> None:
    client, server = memory_pair(limits("client"), limits("server"), up=lambda frame: [frame, frame])
    for step in range(5):
        client.send(head_up(step))
    assert [server.receive(timeout=1).step for _ in range(5)] == [0, 1, 2, 3, 4]
    assert not server.ready()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
def test_a_poisoned_tensor_ends_the_conversation_at_both_ends_before_it_is_seen(bad: float) -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    client.send(head_up(0))
    hidden = torch.zeros(1, 1, 16)
    hidden[0, 0, 3] = bad
    message = head_up(1, rows=1, length=1)
    client.send(
        Message(message.kind, 1, phase=message.phase, tensors={**message.tensors, "hidden": encode(hidden, "fp32")})
    )
    with pytest.raises(FrameError, match="CL-1311"):
        server.receive(timeout=1)
    with pytest.raises(PeerError) as caught:
        client.receive(timeout=1)
    assert caught.value.code == "CL-1311"
    with pytest.raises(PeerError):
        client.send(head_up(2))


def test_a_message_of_an_older_attempt_is_refused() -> None:
    old = SessionIds(IDS.run, IDS.participant, IDS.attempt - 1)
    client, server = memory_pair(limits("client", ids=old), limits("server"))
    client.send(head_up(0))
    with pytest.raises(FrameError, match="CL-1306"):
        server.receive(timeout=1)


def test_the_window_holds_a_sender_back_until_messages_are_taken() -> None:
    client, server = memory_pair(limits("client"), limits("server"), window=Window(frames=2))
    client.send(head_up(0))
    client.send(head_up(1))
    with pytest.raises(ChannelError, match="CL-1331"):
        client.send(head_up(2), timeout=0.05)
    server.receive()
    client.send(head_up(2), timeout=1)
    assert [server.receive().step, server.receive().step] == [1, 2]


def test_a_window_of_bytes_lets_one_message_through_however_large() -> None:
    client, server = memory_pair(limits("client"), limits("server"), window=Window(bytes=10))
    client.send(head_up(0))
    with pytest.raises(ChannelError, match="CL-1331"):
        client.send(head_up(1), timeout=0.05)
    assert server.receive().step == 0


def test_a_sender_that_ignores_the_window_is_cut_off() -> None:
    client, server = memory_pair(limits("client"), limits("server"), window=Window(frames=2))
    client.exchange.outgoing.window = Window()
    for step in range(6):
        if not client.over:
            client.send(head_up(step))
    with pytest.raises(FrameError, match="CL-1312"):
        server.receive()


def test_nothing_within_the_deadline_is_a_time_out_() -> None:
    client, _ = memory_pair(limits("client"), limits("server"))
    with pytest.raises(ChannelError, match="CL-1327"):
        client.receive(timeout=0.05)


def test_close_delivers_what_was_sent_and_the_other_end_sees_the_end() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    client.send(head_up(0))
    client.close()
    assert server.receive(timeout=1).step == 0
    for action in (lambda: server.receive(timeout=1), lambda: server.send(body_down(0, torch.zeros(1, 1, 16)))):
        with pytest.raises(ChannelError, match="CL-1328"):
            action()
    server.close()
    client.close()


def test_abort_tells_the_other_end_the_code() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    client.abort("CL-1101")
    with pytest.raises(PeerError) as caught:
        server.receive(timeout=1)
    assert caught.value.code == "CL-1101"


def test_a_made_up_code_of_the_other_end_is_not_repeated() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    client.abort("<script>")
    with pytest.raises(PeerError, match="CL-1329"):
        server.receive(timeout=1)


def test_without_a_connection_the_session_is_lost_after_its_patience() -> None:
    session = Session(limits("client"), patience=0.05)
    with pytest.raises(ChannelError, match="CL-1326"):
        session.receive(timeout=5)


def test_a_new_connection_goes_on_where_the_old_one_broke() -> None:
    client, server = Session(limits("client")), Session(limits("server"))
    generation, _ = client.attach()
    other, _ = server.attach()
    for step in range(4):
        client.send(head_up(step))
    for _ in range(3):  # an ACK and two of four messages get through, then the wire breaks
        frame = client.next_frame(generation, wait=False)
        assert frame is not None
        server.deliver(other, frame)
    client.next_frame(generation, wait=False)
    client.detach(generation)
    server.detach(other)
    client.send(head_up(4))
    assert client.next_frame(generation, wait=False) is None

    other, have = server.attach()
    assert have == 2
    generation, _ = client.attach(have)
    while (frame := client.next_frame(generation, wait=False)) is not None:
        server.deliver(other, frame)
    assert [server.receive(timeout=1).step for _ in range(5)] == [0, 1, 2, 3, 4]


def test_frames_of_a_replaced_connection_are_ignored() -> None:
    client, server = Session(limits("client")), Session(limits("server"))
    generation, _ = client.attach()
    old, _ = server.attach()
    server.attach()
    client.send(head_up(0))
    while (frame := client.next_frame(generation, wait=False)) is not None:
        server.deliver(old, frame)
    assert not server.ready()


def test_a_peer_that_forgot_the_conversation_is_not_taken_for_the_old_one() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    client.send(head_up(0))
    server.receive()
    assert not server.ready()  # it has nothing more, and says what it took
    with pytest.raises(FrameError, match="CL-1305"):
        client.attach(0)
    with pytest.raises(FrameError, match="CL-1305"):
        client.attach(9)


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    session = Session(limits("client"))
    generation, _ = session.attach()
    session.deliver(generation, frames.encode_bare(FrameType.ACK, 7, 7))
    with pytest.raises(FrameError, match="CL-1312"):
        session.receive(timeout=1)


def test_damage_without_end_is_given_up() -> None:
    session = Session(limits("client"))
    generation, _ = session.attach()
    for _ in range(60):
        session.deliver(generation, b"\0" * 100)
    with pytest.raises(FrameError, match="CL-1301"):
        session.receive(timeout=1)


def test_wait_any_names_the_channels_that_have_something() -> None:
    pairs = {name: memory_pair(limits("client"), limits("server")) for name in "abc"}
    servers = {name: pair[1] for name, pair in pairs.items()}
    with pytest.raises(ChannelError, match="CL-1327"):
        wait_any(servers, timeout=0.05)
    started = Event()
    thread = Thread(target=lambda: (started.wait(), pairs["b"][0].send(head_up(0))))
    thread.start()
    started.set()
    assert wait_any(servers, timeout=5) == ["b"]
    thread.join()
    servers["b"].receive()
    pairs["c"][0].close()
    assert wait_any(servers, timeout=5) == ["c"]


def test_two_busy_threads_lose_no_wake_up() -> None:
    client, server = memory_pair(limits("client", codec="bf16"), limits("server", codec="bf16"))
    with running(server, 400, codec="bf16") as errors:
        for first in range(0, 400, 8):
            for step in range(first, first + 8):
                client.send(head_up(step, codec="bf16", rows=1, length=2), timeout=10)
            assert [client.receive(timeout=10).step for _ in range(8)] == list(range(first, first + 8))
    assert errors == []


def test_an_answer_acknowledges_so_that_no_frame_of_its_own_does() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    for step in range(3):
        client.send(head_up(step))
        server.receive()
        server.send(body_down(step, torch.zeros(1, 2, 16)))
        client.receive()
    greetings = 1  # what each end says of itself when it is attached
    assert client.sent.frames == client.sent.messages + greetings == 4
    assert server.sent.frames == server.sent.messages + greetings == 4
    assert not client.exchange.outgoing.waits  # the answers said what had arrived
    assert not client.ready()
    assert client.sent.frames == 5  # now idle, it says what it took
    assert not server.exchange.outgoing.waits
