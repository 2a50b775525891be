"""wire: an echo of 16 MiB over a channel under mutual TLS, against a bare gRPC byte stream with the same settings.

Two processes on loopback. bare: bytes go and come back. channel: the same bytes as a message's tensor, with numbering,
checksum, contract checks and acknowledgements at both ends. tensors: the same, and both ends decode to a torch tensor
and encode it again. The share is bare's time ÷ the other's.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter
from typing import Any

import grpc
import torch

from splitcore.codecs.payload import Payload
from splitcore.codecs.tensors import decode, encode
from splitcore.config import RunConfig
from splitcore.flows import anyone, carried_to, flows_of
from splitcore.wire.protocol.channel import Channel
from splitcore.wire.protocol.limits import FrameLimits, Sizes, session_limits
from splitcore.wire.protocol.messages import ChannelError, Kind, Message, PeerError, Phase, SessionIds
from splitcore.wire.transport.certificates import Identity, common_name, create_identity
from splitcore.wire.transport.grpc_channel import dial, options
from splitcore.wire.transport.grpc_listener import serve
from tests.benchmarks.children import child, wait_for_end
from tests.benchmarks.frame import Scale, Table, figure, interleaved, ratios, show

ROWS, LENGTH, WIDTH = 8, 512, 1024  # 16 MiB in fp32
NBYTES = ROWS * LENGTH * WIDTH * 4
PARTY = "a"
SERVICE, METHOD = "cutlayer.Bench", "Echo"


def limits(side: Any) -> FrameLimits:
    """Room for one message of 16 MiB in either direction."""
    config = RunConfig.parse({"model": {"name_or_path": "m"}, "wire": {"activations": "fp32", "gradients": "fp32"}})
    carried = carried_to(flows_of(config, anyone(1)))
    return session_limits(SessionIds("bench", PARTY), side, carried, Sizes(ROWS, LENGTH, WIDTH, vocabulary=2))


def measure(scale: Scale) -> dict[str, Any]:
    """Medians over echoes within a run, over interleaved runs."""
    echoes, rounds = scale.of(30, 8), scale.of(7, 3)
    ours, theirs = create_identity("bench-client"), create_identity("bench-server")
    tensor_BLD = torch.randn(ROWS, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))
    with ExitStack() as stack:
        bare = stack.enter_context(_bare(ours, theirs))
        channels = {
            kind: stack.enter_context(_channel(ours, theirs, decoded=kind == "tensors"))
            for kind in ("channel", "tensors")
        }
        raw = tensor_BLD.numpy().tobytes()
        payload = encode(tensor_BLD, "fp32")

        def with_tensor() -> None:
            _echo(channels["tensors"], encode(tensor_BLD, "fp32"), decoded=True)

        arms: dict[str, Callable[[], object]] = {
            "bare": lambda: bare(raw),
            "channel": lambda: _echo(channels["channel"], payload, decoded=False),
            "tensors": with_tensor,
        }
        for arm in arms.values():
            _median_seconds(arm, 3)
        runs = interleaved(rounds, {name: _timed(arm, echoes) for name, arm in arms.items()})
    seconds = {name: figure([1000 * one[name] for one in runs], unit="ms") for name in arms}
    share = figure(ratios(runs, "bare", "channel"))
    return {**share, "tensors": figure(ratios(runs, "bare", "tensors")), "echo": seconds, "bytes": NBYTES}


def rows(result: Mapping[str, Any]) -> Table:
    """Times and shares."""
    share = {"bare": "1", "channel": show(result), "tensors": show(result["tensors"])}
    body = [
        (name, show(echo, 1), f"{2 * NBYTES / 1e3 / echo['value']:.0f}", share[name])
        for name, echo in result["echo"].items()
    ]
    return Table(
        "wire: echo of 16 MiB under mutual TLS",
        ("", "ms", "MB/s both ways", "share of bare gRPC"),
        body,
        "target: 0.85",
    )


def _timed(echo: Callable[[], object], count: int) -> Callable[[], float]:
    return lambda: _median_seconds(echo, count)


def _median_seconds(echo: Callable[[], object], count: int) -> float:
    seconds = []
    for _ in range(count):
        start = perf_counter()
        echo()
        seconds.append(perf_counter() - start)
    return median(seconds)


# ---- a channel


@contextmanager
def _channel(ours: Identity, theirs: Identity, *, decoded: bool) -> Iterator[Channel]:
    """A channel to a process that echoes."""
    with child(_serve_channel, theirs, ours.certificate_pem, decoded) as pipe:
        host, port = pipe.recv()
        pin = theirs.certificate_pem
        with dial(host, port, identity=ours, server_certificate=pin, limits=limits("client")) as channel:
            yield channel


def _echo(channel: Channel, payload: Payload, *, decoded: bool) -> None:
    channel.send(Message(Kind.ACTIVATIONS, phase=Phase.HEAD_UP, tensors={"hidden": payload, "mask": _mask()}))
    answer = channel.receive(timeout=60.0)
    if decoded:
        decode(answer.tensors["hidden"])


def _mask() -> Payload:
    return encode(torch.ones(1, 1, dtype=torch.uint8), "u8")


def _serve_channel(pipe: Connection, identity: Identity, client: str, decoded: bool) -> None:
    torch.set_num_threads(1)
    with serve(
        identity=identity, clients={PARTY: client}, limits={PARTY: limits("server")}, host="127.0.0.1"
    ) as listener:
        pipe.send(listener.address)
        channel = listener.accept(timeout=60.0)
        try:
            while True:
                payload = channel.receive().tensors["hidden"]
                if decoded:
                    payload = encode(decode(payload), "fp32")
                channel.send(Message(Kind.ACTIVATIONS, phase=Phase.BODY_DOWN, tensors={"hidden": payload}))
        except (ChannelError, PeerError):
            return


# ---- bare gRPC


@contextmanager
def _bare(ours: Identity, theirs: Identity) -> Iterator[Callable[[bytes], bytes]]:
    """A byte stream to a process that echoes it."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=theirs.certificate_pem.encode(),
        private_key=ours.key_pem,
        certificate_chain=ours.certificate_pem.encode(),
    )
    settings = [
        *options(limits("client").max_frame_bytes),
        ("grpc.ssl_target_name_override", common_name(theirs.certificate_pem)),
    ]
    outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with (
        child(_serve_bare, theirs, ours.certificate_pem) as pipe,
        grpc.secure_channel(f"127.0.0.1:{pipe.recv()}", credentials, options=settings) as connection,
    ):
        answers: Iterator[bytes] = connection.stream_stream(f"/{SERVICE}/{METHOD}")(iter(outgoing.get, None))

        def echo(data: bytes) -> bytes:
            outgoing.put(data)
            return next(answers)

        yield echo
        outgoing.put(None)


def _serve_bare(pipe: Connection, identity: Identity, client: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(2), options=options(limits("server").max_frame_bytes))
    handler = grpc.stream_stream_rpc_method_handler(lambda requests, _context: requests)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    credentials = grpc.ssl_server_credentials(
        [(identity.key_pem, identity.certificate_pem.encode())], client.encode(), require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    pipe.send(port)
    wait_for_end(pipe)
    server.stop(grace=None).wait()
