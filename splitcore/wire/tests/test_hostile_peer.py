"""A pinned peer that ignores the window: the other end holds a window and one message of it, nobody else notices."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch

from splitcore.codecs.tensors import decode, encode
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.declared import Side
from splitcore.wire.protocol.frames import FrameType
from splitcore.wire.protocol.incoming import Incoming
from splitcore.wire.protocol.limits import FrameLimits, Sizes
from splitcore.wire.protocol.messages import FrameError, Kind, Message, PeerError, Phase, SessionIds
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.parts import Arriving
from splitcore.wire.protocol.session import Session
from splitcore.wire.tests.factories import head_up, limits, limits_of
from splitcore.wire.transport.certificates import Identity, create_identity
from splitcore.wire.transport.grpc_channel import dial
from splitcore.wire.transport.memory import memory_pair

HONEST, HOSTILE = "honest", "hostile"
MIB = 1 << 20
WINDOW, MESSAGE = 8 * MIB, 8 * MIB
BOUNDLESS = Window(frames=1 << 30, bytes=1 << 40)


def wide(party: str, side: Side) -> FrameLimits:
    """Room for messages of 8 MiB."""
    return limits_of(SessionIds("run-1", party), side, Sizes(rows=4, length=512, width=1024, vocabulary=9))


def large(step: int) -> Message:
    tensors = {
        "hidden": encode(torch.full((4, 512, 1024), float(step)), "fp32"),
        "mask": encode(torch.ones(4, 512, dtype=torch.uint8), "u8"),
    }
    return Message(Kind.ACTIVATIONS, step=step, phase=Phase.HEAD_UP, tensors=tensors)


SERVER_PROGRAM = """
import json, os, pathlib, resource, sys
from splitcore.wire.transport.certificates import load_identity
from splitcore.codecs.tensors import decode
from splitcore.wire.transport.grpc_listener import serve
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.messages import Kind, Message, Phase
from splitcore.wire.tests.test_hostile_peer import HONEST, HOSTILE, WINDOW, wide

folder = pathlib.Path(sys.argv[1])
door = serve(
    identity=load_identity(folder),
    clients=json.loads((folder / "clients.json").read_text()),
    limits={party: wide(party, "server") for party in (HONEST, HOSTILE)},
    host="127.0.0.1",
    window=Window(bytes=WINDOW),
)
print(door.address[1], flush=True)
channels = {(one := door.accept(timeout=60)).session.participant: one for _ in range(2)}
while True:  # only the honest one is listened to
    message = channels[HONEST].receive(timeout=60)
    if message.kind is Kind.BYE:
        os._exit(0)
    echo = Message(Kind.ACTIVATIONS, message.step, phase=Phase.BODY_DOWN, tensors={"hidden": message.tensors["hidden"]})
    del message
    channels[HONEST].send(echo)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
"""


@contextmanager
def compute_site(folder: Path, server: Identity, clients: dict[str, Identity]) -> Iterator[subprocess.Popen[str]]:
    """A server half in a process of its own; after the port it prints its peak memory, with each echo."""
    server.save(folder)
    (folder / "clients.json").write_text(json.dumps({name: one.certificate_pem for name, one in clients.items()}))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER_PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def size_of(message: Message) -> int:
    stamped = replace(message, session=limits("client").session)
    return frames.encode(stamped, 1, max_frame_bytes=MIB).nbytes


def line(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def flood(client: Session, most: int) -> int:
    """Send without heed to the window, each message once the one before it is on the wire; bytes that went out."""
    client.exchange.outgoing.window = BOUNDLESS
    for step in range(most):
        if client.over:
            break
        with suppress(PeerError):  # cut off in the middle of it
            client.send(large(step))
        while client.exchange.outgoing.is_behind and not client.over:
            Event().wait(0.005)
    return client.sent.bytes


def test_a_peer_that_ignores_the_window_costs_no_more_than_it_and_harms_no_other(tmp_path: Path) -> None:
    server, clients = create_identity("w-server"), {name: create_identity(name) for name in (HONEST, HOSTILE)}
    with compute_site(tmp_path, server, clients) as process:
        port = line(process)
        honest, hostile = (
            dial(
                "127.0.0.1",
                port,
                identity=clients[name],
                server_certificate=server.certificate_pem,
                limits=wide(name, "client"),
            )
            for name in (HONEST, HOSTILE)
        )
        usual = 0
        for step in range(4):
            honest.send(large(step), timeout=20)
            assert decode(honest.receive(timeout=20).tensors["hidden"]).max() == step
            usual = line(process)
        went_out = flood(hostile, 40)
        assert went_out > WINDOW + MESSAGE
        with pytest.raises(PeerError, match="CL-1312"):
            hostile.receive(timeout=20)
        honest.send(large(9), timeout=20)
        assert decode(honest.receive(timeout=20).tensors["hidden"]).max() == 9
        assert line(process) - usual <= WINDOW + MESSAGE + 2 * MESSAGE
        honest.send(Message(Kind.BYE))
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("in_order", [True, False], ids=["in order", "with the first one missing"])
def test_bytes_that_nobody_takes_are_bounded_whether_they_are_in_order_or_not(in_order: bool) -> None:
    lost: list[bytes] = []

    def wire(frame: bytes) -> list[bytes]:
        if not in_order and not lost and frame[5] == FrameType.DATA:
            lost.append(frame)
            return []
        return [frame]

    size = size_of(head_up())
    client, server = memory_pair(limits("client"), limits("server"), up=wire, window=Window(bytes=4 * size))
    client.exchange.outgoing.window = BOUNDLESS
    sent = 0
    while not client.over and sent < 50:
        client.send(head_up(sent))
        sent += 1
    most = 4 * size + limits("server").max_frame_bytes
    assert 5 <= sent <= most // size + 3
    with pytest.raises(FrameError, match="CL-1312"):
        server.receive()
    assert server.exchange.incoming.held_bytes == 0, "what nobody will take is not kept"


def test_an_honest_sender_may_fill_the_window_to_its_last_byte() -> None:
    size = size_of(head_up(10))
    client, server = memory_pair(limits("client"), limits("server"), window=Window(bytes=3 * size), probe_after=0.02)
    for first in range(10, 40, 3):
        for step in range(first, first + 3):
            client.send(head_up(step), timeout=5)
        assert [server.receive(timeout=5).step for _ in range(3)] == [first, first + 1, first + 2]
    assert server.exchange.incoming.held_bytes == 0


def test_headers_that_nobody_takes_are_bounded_because_their_json_grows_when_it_is_read() -> None:
    incoming = Incoming(1 << 30, most_headers=100_000)
    message = Message(Kind.STEP_BEGIN)
    for sequence in range(1, 6):
        incoming.take(sequence, Arriving(message, header_bytes=20_000), 20_038)
    with pytest.raises(FrameError, match="CL-1312"):
        incoming.take(6, Arriving(message, header_bytes=20_000), 20_038)


def test_a_failed_conversation_keeps_nothing_that_it_received() -> None:
    client, server = memory_pair(limits("client"), limits("server"))
    for step in range(5):
        client.send(head_up(step))
    assert server.exchange.incoming.held_bytes > 0
    client.abort("CL-1101")
    assert (server.exchange.incoming.held_bytes, len(server.exchange.inbox)) == (0, 0)
