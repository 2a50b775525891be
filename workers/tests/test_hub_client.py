"""What a worker takes from whoever answers as its hub: paths below the API, bounded bodies, codes and no sentences."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from splitcore.errors import AppError
from workers.contracts import API_PREFIX, Claim, ClaimReply, SegmentUpload
from workers.enrol import JoinOptions, join
from workers.hub import ASSIGNMENTS_BYTES, HubClient, HubError
from workers.network import ANSWER_BYTES
from workers.settings import WorkerHome
from workers.tests.support import Answer, FakeHub, assignment_for, contract_for, enrolled_home, fake_hub

SECRET = "the inner service says: password=hunter2"


@dataclass
class Answering(FakeHub):
    """Answers everything with one thing, and counts."""

    reply: Answer = (200, {})
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """The one reply."""
        self.asked.append(path)
        return self.reply


@pytest.fixture
def hub() -> Iterator[Answering]:
    with fake_hub(Answering()) as found:
        assert isinstance(found, Answering)
        yield found


@pytest.fixture
def client(hub: Answering, tmp_path: Path) -> Iterator[HubClient]:
    made = HubClient.of(enrolled_home(tmp_path / "home", hub.url))
    yield made
    made.close()


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:9/inner",
        "//127.0.0.1:9/inner",
        f"{API_PREFIX}/../../admin",
        f"{API_PREFIX}/runs//inner",
        f"{API_PREFIX}/runs/%2e%2e/x",
        f"{API_PREFIX}@127.0.0.1:9/x",
        f"{API_PREFIX}/a\\r\\nHost: x",
        "/health",
        "",
    ],
)
def test_only_paths_below_the_hubs_api_are_fetched(
    client: HubClient, hub: Answering, path: str, tmp_path: Path
) -> None:
    with pytest.raises(AppError) as caught:
        client.download(path, tmp_path / "file", most_bytes=100)
    assert caught.value.code == "CL-1436"
    assert hub.asked == []


def test_a_file_ends_at_its_bound(client: HubClient, hub: Answering, tmp_path: Path) -> None:
    hub.reply = (200, {"x": "y" * 100_000})
    with pytest.raises(AppError) as caught:
        client.download(f"{API_PREFIX}/runs/run_1/adapters/adp_1", tmp_path / "file", most_bytes=1000)
    assert caught.value.code == "CL-1436"


@pytest.mark.parametrize("status", [400, 403, 500, 502])
def test_a_foreign_message_is_never_repeated(client: HubClient, hub: Answering, status: int, tmp_path: Path) -> None:
    for code in ("CL-1404", "CL-7777", "inner"):
        hub.reply = (status, {"code": code, "message": SECRET, "remedy": SECRET, "details": {"a": SECRET}})
        for fetch in (
            lambda: client.post("/leave", Claim(participant_id="p", contract_hash="ab" * 32, job_id="j")),
            lambda: client.download(f"{API_PREFIX}/runs/x", tmp_path / "file", most_bytes=9),
        ):
            with pytest.raises(HubError) as caught:
                fetch()
            assert "hunter2" not in json.dumps(caught.value.to_dict())


def test_a_newer_hub_may_tell_more_than_this_worker_knows(client: HubClient, hub: Answering) -> None:
    claim = Claim(participant_id="p", contract_hash="ab" * 32, job_id="j")
    hub.reply = (200, {"attempt": 3, "desired": "running", "news": {"of": "tomorrow"}})
    assert client.call("POST", "/runs/run_1/claim", claim, reply=ClaimReply).attempt == 3
    hub.reply = (200, {"assignments": [], "hub_time": "2026-01-01T00:00:00Z", "settled": [], "news": 1})
    assert client.assignments().assignments == []


def test_an_entry_that_cannot_be_read_hides_none_of_the_others(
    client: HubClient, hub: Answering, tmp_path: Path
) -> None:
    good = assignment_for(contract_for(WorkerHome(tmp_path / "home"))).model_dump(mode="json")
    bad = {**good, "participant_id": "prt_2", "client_attempts": {"alpha": 2**31}}
    entries = [bad, good, {**good, "kind": "unheard_of", "participant_id": 7}, "nothing"]
    hub.reply = (200, {"assignments": entries, "hub_time": "2026-01-01T00:00:00Z"})
    wanted = client.assignments()
    assert [item.participant_id for item in wanted.assignments] == ["prt_1"]
    assert wanted.unread == ["prt_2"]
    hub.reply = (200, {"assignments": {}, "hub_time": "2026-01-01T00:00:00Z"})
    with pytest.raises(HubError) as caught:
        client.assignments()
    assert caught.value.code == "CL-1407"


def test_an_answer_ends_at_its_bound_and_what_was_to_be_said_is_kept(client: HubClient, hub: Answering) -> None:
    claim = Claim(participant_id="p", contract_hash="ab" * 32, job_id="j")
    hub.reply = (200, {"attempt": 3, "desired": "running", "news": "x" * ANSWER_BYTES})
    for call in (
        lambda: client.call("POST", "/runs/run_1/claim", claim, reply=ClaimReply),
        lambda: client.post("/leave", claim),
    ):
        with pytest.raises(HubError) as caught:
            call()
        assert caught.value.code == "CL-1436"
        assert caught.value.transient
    listed = {"assignments": [], "hub_time": "2026-01-01T00:00:00Z", "settled": []}
    hub.reply = (200, {**listed, "news": "x" * ANSWER_BYTES})
    assert client.assignments().assignments == [], "a long list is taken"
    hub.reply = (200, {**listed, "news": "x" * ASSIGNMENTS_BYTES})
    with pytest.raises(HubError) as caught:
        client.assignments()
    assert caught.value.code == "CL-1436"


class Elsewhere(BaseHTTPRequestHandler):
    """A hub that answers as the test wants, byte by byte."""

    head: ClassVar[dict[str, str]] = {}
    status: ClassVar[int] = 200
    content: ClassVar[bytes] = b"{}"
    asked: ClassVar[list[str]] = []

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(self.path)
        self.send_response(self.status)
        for name, value in self.head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


@contextmanager
def answering(**answer: Any) -> Iterator[tuple[str, list[str]]]:
    """The address of such a hub, and what was asked of it."""
    handler = type("Handler", (Elsewhere,), {**answer, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


def calls_of(client: HubClient, tmp_path: Path) -> list[Callable[[], object]]:
    """Every way in which a worker speaks to its hub."""
    claim = Claim(participant_id="p", contract_hash="ab" * 32, job_id="j")
    file = tmp_path / "segment"
    file.write_bytes(b"weights")
    upload = SegmentUpload(participant_id="p", attempt=1, sha256="ab" * 32)
    return [
        client.assignments,
        lambda: client.post("/leave", claim),
        lambda: client.call("POST", "/runs/run_1/claim", claim, reply=ClaimReply),
        lambda: client.upload("/runs/run_1/segments/head", upload, file),
        lambda: client.download(f"{API_PREFIX}/runs/run_1/adapters/adp_1", tmp_path / "file", most_bytes=100),
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, tmp_path: Path) -> None:
    with (
        answering() as (inner, asked),
        answering(status=status, head={"Location": f"{inner}/inner"}) as (url, first),
    ):
        client = HubClient.of(enrolled_home(tmp_path / "home", url))
        for call in calls_of(client, tmp_path):
            with pytest.raises(HubError):
                call()
        client.close()
        join_calls = len(first)
        with pytest.raises(AppError):
            join(WorkerHome(tmp_path / "fresh"), url, "clw_x", JoinOptions())
    assert (join_calls, len(first)) == (5, 6)
    assert asked == [], "the address that the answer names was not asked"


def test_a_packed_answer_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(b'{"news": "' + b"x" * (64 << 20) + b'"}')
    with answering(content=bomb, head={"Content-Encoding": "gzip"}) as (url, _):
        client = HubClient.of(enrolled_home(tmp_path / "home", url))
        with pytest.raises(HubError) as caught:
            client.post("/leave", Claim(participant_id="p", contract_hash="ab" * 32, job_id="j"))
        client.close()
    assert caught.value.code == "CL-1433"
