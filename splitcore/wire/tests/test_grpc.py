"""The real network: a conversation over gRPC under mutual TLS on loopback, what breaks it, and how it is dialled."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import grpc
import pytest
import torch

from splitcore.codecs.tensors import decode, encode
from splitcore.wire.protocol.limits import Sizes
from splitcore.wire.protocol.messages import ChannelError, FrameError, Kind, Message, PeerError, Phase
from splitcore.wire.tests.doors import CLIENT, SERVER, call, open_door
from splitcore.wire.tests.factories import IDS, body_down, head_up, limits, limits_of
from splitcore.wire.tests.relay import Relay, forward
from splitcore.wire.transport.grpc_channel import dial
from splitcore.wire.transport.grpc_listener import GrpcListener, serve
from splitcore.wire.transport.preflight import preflight


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        Event().wait(0.01)


def test_tensors_go_both_ways_and_bytes_are_counted_alike(listener: GrpcListener) -> None:
    with call(listener.address[1]) as client, listener.accept(timeout=5) as server:
        assert server.session == IDS
        for step in range(20):
            client.send(head_up(step), timeout=5)
        for step in range(20):
            message = server.receive(timeout=5)
            assert message.step == step
            server.send(body_down(step, decode(message.tensors["hidden"]) * 2))
        for step in range(20):
            hidden = decode(client.receive(timeout=5).tensors["hidden"])
            assert torch.equal(hidden, decode(head_up(step).tensors["hidden"]) * 2)
        until(lambda: client.sent.bytes == server.received.bytes and server.sent.bytes == client.received.bytes)
        assert client.sent.by_kind == server.received.by_kind


def test_messages_larger_than_the_library_s_default_of_four_mib_pass() -> None:
    wide = limits_of(IDS, "server", Sizes(rows=8, length=512, width=512, vocabulary=9))
    with serve(
        identity=SERVER,
        clients={IDS.participant: CLIENT.certificate_pem},
        limits={IDS.participant: wide},
        host="127.0.0.1",
    ) as door:
        bounds = replace(limits("client"), max_frame_bytes=wide.max_frame_bytes)
        with (
            dial(*door.address, identity=CLIENT, server_certificate=SERVER.certificate_pem, limits=bounds) as client,
            door.accept(timeout=5) as server,
        ):
            hidden = torch.randn(8, 512, 512)
            mask = encode(torch.ones(8, 512, dtype=torch.uint8), "u8")
            tensors = {"hidden": encode(hidden, "fp32"), "mask": mask}
            assert client.send(Message(Kind.ACTIVATIONS, phase=Phase.HEAD_UP, tensors=tensors)) > 8 << 20
            assert torch.equal(decode(server.receive(timeout=10).tensors["hidden"]), hidden)


def test_a_broken_connection_is_dialled_again_and_nothing_is_lost_or_doubled(listener: GrpcListener) -> None:
    relay = Relay(listener.address[1])
    told: list[tuple[bool, bool]] = []
    client = call(relay.port, on_link=lambda connected, again: told.append((connected, again)))
    server = listener.accept(timeout=5)
    try:
        for step in range(60):
            client.send(head_up(step), timeout=10)
            if step % 20 == 7:
                relay.cut()
            message = server.receive(timeout=10)
            assert message.step == step
            if step % 20 == 14:
                relay.cut()
            server.send(body_down(step, decode(message.tensors["hidden"])), timeout=10)
            assert client.receive(timeout=10).step == step
        assert (server.received.messages, client.received.messages) == (60, 60)
        breaks = told.count((False, False))
        assert 1 <= breaks <= 6
        assert told[0] == (True, False)
        assert told.count((True, True)) == breaks, "every break is told, and every return"
    finally:
        client.close()
        server.close()
        relay.close()


def test_a_connection_that_stays_away_is_reported_lost_at_both_ends() -> None:
    with open_door(patience=0.5) as door:
        relay = Relay(door.address[1])
        client, server = call(relay.port, patience=0.5), door.accept(timeout=5)
        relay.refusing = True
        relay.cut()
        for end in (client, server):
            with pytest.raises(ChannelError, match="CL-1326"):
                end.receive(timeout=30)
        relay.close()


def test_the_end_that_closes_last_does_not_wait_for_the_one_that_has_left(listener: GrpcListener) -> None:
    client, server = call(listener.address[1]), listener.accept(timeout=5)
    client.send(head_up(0))
    server.receive(timeout=5)
    server.close(timeout=60)
    began = time.monotonic()
    client.close(timeout=60)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("first", ["server", "client"])
def test_the_end_of_a_conversation_is_not_told_as_a_broken_connection(listener: GrpcListener, first: str) -> None:
    told: list[tuple[bool, bool]] = []
    before = set(threading.enumerate())
    client = call(listener.address[1], on_link=lambda connected, again: told.append((connected, again)))
    server = listener.accept(timeout=5)
    client.send(head_up(0))
    server.receive(timeout=5)
    ends = [server, client] if first == "server" else [client, server]
    ends[0].close(timeout=10)
    if first == "server":
        until(lambda: not client.attached)
    ends[1].close(timeout=10)
    for one in set(threading.enumerate()) - before:
        if one.name == f"tensors-{IDS.participant}":
            one.join(10)
    assert told == [(True, False)]


CLIENT_PROGRAM = """
import os, pathlib, sys
from splitcore.wire.transport.certificates import load_identity
from splitcore.wire.transport.grpc_channel import dial
from splitcore.wire.tests.factories import head_up, limits
folder = pathlib.Path(sys.argv[1])
channel = dial("127.0.0.1", int(sys.argv[2]), identity=load_identity(folder),
               server_certificate=(folder / "server.pem").read_text(), limits=limits("client"))
"""


def start_client(listener: GrpcListener, folder: Path, program: str) -> subprocess.Popen[bytes]:
    """A client half in a process of its own, with its key in files."""
    CLIENT.save(folder)
    (folder / "server.pem").write_text(SERVER.certificate_pem)
    code = CLIENT_PROGRAM + textwrap.dedent(program)
    return subprocess.Popen([sys.executable, "-c", code, str(folder), str(listener.address[1])])


def test_the_other_half_s_process_ending_badly_is_a_lost_connection(tmp_path: Path) -> None:
    with open_door(patience=0.3) as listener:
        process = start_client(
            listener,
            tmp_path,
            """
            channel.send(head_up(1))
            channel.receive(timeout=20)
            os._exit(9)
            """,
        )
        try:
            server = listener.accept(timeout=30)
            message = server.receive(timeout=20)
            server.send(body_down(1, decode(message.tensors["hidden"])))
            assert process.wait(timeout=20) == 9
            with pytest.raises(ChannelError, match="CL-1326"):
                server.receive(timeout=10)
        finally:
            process.kill()
            process.wait()


def test_what_was_sent_arrives_although_the_process_exits_right_after_close(
    listener: GrpcListener, tmp_path: Path
) -> None:
    process = start_client(
        listener,
        tmp_path,
        """
        for step in range(5):
            channel.send(head_up(step))
        channel.close()
        os._exit(0)
        """,
    )
    try:
        server = listener.accept(timeout=30)
        assert process.wait(timeout=20) == 0
        assert [server.receive(timeout=5).step for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ChannelError, match="CL-1328"):
            server.receive(timeout=5)
    finally:
        process.kill()
        process.wait()


def test_closing_ends_the_conversation_at_the_other_end(listener: GrpcListener) -> None:
    client, server = call(listener.address[1]), listener.accept(timeout=5)
    client.send(head_up(0))
    client.close()
    assert server.receive(timeout=5).step == 0
    with pytest.raises(ChannelError, match="CL-1328"):
        server.receive(timeout=5)


def test_a_poisoned_tensor_is_reported_to_its_sender(listener: GrpcListener) -> None:
    client, server = call(listener.address[1]), listener.accept(timeout=5)
    server.send(body_down(0, torch.full((1, 1, 16), float("nan"))))
    with pytest.raises(FrameError, match="CL-1311"):
        client.receive(timeout=5)
    with pytest.raises(PeerError, match="CL-1311"):
        server.receive(timeout=5)


def look(port: int, host: str = "127.0.0.1", timeout: float = 2.0) -> str:
    with pytest.raises(ChannelError) as caught:
        preflight(host, port, identity=CLIENT, server_certificate=SERVER.certificate_pem, timeout=timeout)
    return caught.value.code


def test_preflight_says_why_it_cannot_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert look(port, timeout=0.3) == "CL-1321"
    assert look(port) == "CL-1320"
    assert look(port, host="no-such-host.invalid") == "CL-1321"
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            near, _ = web.accept()
            near.recv(1000)
            near.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            near.close()

        Thread(target=answer, daemon=True).start()
        assert look(web.getsockname()[1]) == "CL-1324"


def test_dialling_waits_for_a_server_that_starts_late() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    doors: list[GrpcListener] = []
    thread = Thread(target=lambda: (Event().wait(0.3), doors.append(open_door(ports=(port, port)))))
    thread.start()
    with call(port) as client:
        thread.join()
        client.send(head_up(3))
        assert doors[0].accept(timeout=5).receive(timeout=5).step == 3
    doors[0].close()


def test_the_first_free_port_of_the_range_is_taken_and_none_free_is_an_error(listener: GrpcListener) -> None:
    taken = listener.address[1]
    with pytest.raises(ChannelError, match="CL-1325"):
        open_door(ports=(taken, taken))
    with open_door(ports=(taken, taken + 20)) as second:
        assert taken < second.address[1] <= taken + 20


def test_the_environment_s_proxy_is_not_used_for_tensors(
    listener: GrpcListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "grpc_proxy"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    with call(listener.address[1]) as client:
        client.send(head_up(5))
        assert listener.accept(timeout=5).receive(timeout=5).step == 5


def test_a_configured_proxy_carries_the_connection_end_to_end(listener: GrpcListener) -> None:
    asked: list[bytes] = []
    door = socket.create_server(("127.0.0.1", 0))

    def connect() -> None:
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            request = b""
            while b"\r\n\r\n" not in request:
                request += near.recv(1)
            asked.append(request.split(b"\r\n")[0])
            far = socket.create_connection(listener.address)
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            for source, sink in ((near, far), (far, near)):
                Thread(target=forward, args=(source, sink), daemon=True).start()

    Thread(target=connect, daemon=True).start()
    client = dial(
        *listener.address,
        identity=CLIENT,
        server_certificate=SERVER.certificate_pem,
        limits=limits("client"),
        proxy=f"http://127.0.0.1:{door.getsockname()[1]}",
    )
    client.send(head_up(6))
    assert listener.accept(timeout=5).receive(timeout=5).step == 6
    assert len(asked) == 2
    assert asked[0].startswith(b"CONNECT 127.0.0.1:")
    client.close()
    door.close()


def test_a_process_that_speaks_grpc_starts_other_programs_and_loses_none() -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    channel = grpc.insecure_channel(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    grpc.channel_ready_future(channel).result(timeout=10)
    command = [sys.executable, "-S", "-c", "pass"]
    ends = [subprocess.run(command, preexec_fn=lambda: None, check=False).returncode for _ in range(300)]
    assert not any(ends)
    channel.close()
    server.stop(0)
