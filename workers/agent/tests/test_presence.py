"""The control connection against a real WebSocket server."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

from splitcore.wire.transport.certificates import create_identity
from workers import contracts
from workers.agent.presence import Presence
from workers.contracts import Hello, Lane, WorkerFacts
from workers.hub import Signer
from workers.tests.support import connect_proxy, wait_for

Talk = Callable[[ServerConnection], Any]


class Bell:
    """Counts doorbells."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.rung = asyncio.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.rung.set()


@asynccontextmanager
async def presence(
    url: str, bell: Bell, facts: WorkerFacts | None = None, left: list[tuple[str, int]] | None = None
) -> AsyncIterator[Presence]:
    """A presence that runs for the length of the block."""
    made = Presence(
        url,
        Signer(create_identity("worker-test"), "wrk_own"),
        beat_seconds=0.05,
        hello=lambda: Hello(facts=facts or WorkerFacts(cutlayer="1")),
        lanes=lambda: [Lane(run_id="run_1")],
        on_wake=bell,
        left=lambda kind, nbytes, content: None if left is None else left.append((kind, nbytes)),
        protocol=lambda: None,
    )
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_hello_comes_first_then_beats_and_a_wake_is_heard() -> None:
    heard: list[dict[str, Any]] = []
    headers: dict[str, str] = {}
    enough = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        headers.update(connection.request.headers)
        assert connection.request.path == contracts.SOCKET_PATH
        await connection.send('{"type": "wake", "reason": "run"}')
        await connection.send("not even json")
        async for text in connection:
            heard.append(json.loads(text))
            if len(heard) > 2:
                enough.set()

    bell = Bell()
    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with presence(f"http://127.0.0.1:{port}", bell):
            await asyncio.wait_for(enough.wait(), 10)
    assert [message["type"] for message in heard[:3]] == ["hello", "beat", "beat"]
    assert [lane["run_id"] for lane in heard[1]["lanes"]] == ["run_1"]
    assert {contracts.HEADER_WORKER, contracts.HEADER_SIGNATURE} <= {name.title() for name in headers}
    assert "run" in bell.reasons


async def test_it_connects_again_with_a_new_nonce_after_the_hub_went_away() -> None:
    nonces: list[str] = []
    twice = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        nonces.append(connection.request.headers[contracts.HEADER_NONCE])
        if len(nonces) > 1:
            twice.set()
        await connection.close(1012)

    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with presence(f"http://127.0.0.1:{port}", Bell()):
            await asyncio.wait_for(twice.wait(), 10)
    assert len(set(nonces)) == len(nonces)


async def test_it_goes_through_the_proxy_and_trusts_the_site_s_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("CUTLAYER_CA_BUNDLE", str(tmp_path / "ca.pem"))
    greeted = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        async for _ in connection:
            greeted.set()

    with connect_proxy() as (address, targets):
        monkeypatch.setenv("HTTPS_PROXY", address)
        async with serve(talk, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            async with presence(f"https://127.0.0.1:{port}", Bell()):
                await asyncio.wait_for(greeted.wait(), 10)
        assert targets == [f"127.0.0.1:{port}"]


async def test_every_message_is_counted_with_its_kind_to_the_byte() -> None:
    heard: list[str] = []
    left: list[tuple[str, int]] = []
    enough = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        async for text in connection:
            assert isinstance(text, str)
            heard.append(text)
            if len(heard) == 5:
                enough.set()

    async with (
        serve(talk, "127.0.0.1", 0) as server,
        presence(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", Bell(), left=left),
    ):
        await asyncio.wait_for(enough.wait(), 10)
        await asyncio.to_thread(wait_for, lambda: len(left) >= 5)  # counted once it has gone, so a little later
    kinds = [json.loads(text)["type"] for text in heard]
    assert left[:5] == [(kind, len(text.encode())) for kind, text in zip(kinds, heard, strict=True)][:5]
    assert kinds[:2] == ["hello", "beat"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        '{"a":' * 10_000,
        "[]",
        "1" * 60_000,
        '{"type": "refused", "code": "CL-1406", "details": {"hub_time": "0001-01-01T00:00:00+23:59"}}',
        '{"type": "refused", "code": "CL-1406", "details": {"hub_time": "9999-12-31T23:59:59-23:59"}}',
        '{"type": "wake", "reason": ["x"]}',
        b"\xff\xfe",
    ],
    ids=["nested list", "nested object", "list", "long number", "first year", "last year", "no reason", "no text"],
)
async def test_no_text_of_a_hub_ends_the_connection(text: str | bytes) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(text)
        await connection.send(json.dumps({"type": "wake", "reason": "after"}))
        await connection.wait_closed()

    bell = Bell()
    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with presence(f"http://127.0.0.1:{port}", bell), asyncio.timeout(10):
            while "after" not in bell.reasons:
                bell.rung.clear()
                await bell.rung.wait()
    assert "after" in bell.reasons


async def test_a_hello_that_fails_is_made_again_on_a_new_connection() -> None:
    calls = 0

    def hello() -> Hello:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a fault of ours")
        return Hello(facts=WorkerFacts(cutlayer="1"))

    said = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        await connection.recv()
        said.set()
        await connection.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with presence(f"http://127.0.0.1:{port}", Bell()) as made, asyncio.timeout(10):
            made._hello = hello
            await said.wait()
    assert calls == 2
