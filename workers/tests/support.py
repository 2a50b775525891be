"""What the worker's tests share: an enrolled folder, a contract, and a small hub that answers over real HTTP."""

from __future__ import annotations

import hashlib
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from splitcore.config import canonical_json
from splitcore.wire.transport.certificates import create_identity
from workers.contracts import API_PREFIX, HEADER_PROTOCOL, Assignment, EnrolReply
from workers.models_registry import RegisteredModel
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import TrustBook

MANIFEST = "ab" * 32
DIGEST = "cd" * 32
PEER = "ef" * 32
_HUB_KEY = Ed25519PrivateKey.generate().public_key()
HUB_KEY_PEM = _HUB_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
Answer = tuple[int, dict[str, Any]]


def wait_for(look: Callable[[], Any], *, seconds: float = 10.0, what: str = "the condition") -> Any:
    """The first truthy answer of `look`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


class FakeHub:
    """Answers the worker API: keeps telemetry as the real hub does, and can be told to be away or to refuse."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.records: dict[str, dict[int, Any]] = {}
        self.attempts: dict[str, int] = {}
        self.desired = "running"
        self.refusals: dict[str, Answer] = {}  # end of a path → what is answered
        self.away = False
        self.url = ""
        self.protocol: int | None = None  # the newest version that it says it reads

    def bodies(self, ending: str) -> list[Any]:
        """What was sent to the paths with this ending."""
        return [body for _, path, body in self.calls if path.split("?")[0].endswith(ending)]

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """The reply to one request."""
        plain = path.split("?")[0]
        if self.away:
            return 503, {}
        for ending, refusal in self.refusals.items():
            if plain.endswith(ending):
                return refusal
        self.calls.append((method, path, body))
        if plain.endswith("/claim"):
            participant = body["participant_id"]
            self.attempts[participant] = self.attempts.get(participant, 0) + 1
            return 200, {"attempt": self.attempts[participant], "desired": self.desired}
        if plain.endswith("/telemetry"):
            return self._store(body)
        if plain == f"{API_PREFIX}/assignments":
            return 200, {"assignments": [], "hub_time": datetime.now(UTC).isoformat()}
        return 200, {}

    def _store(self, body: Any) -> Answer:
        kept = self.records.setdefault(body["participant_id"], {})
        for record in body["records"]:
            if record["seq"] == len(kept) + 1:
                kept[record["seq"]] = record
        return 200, {"stored_through": len(kept), "desired": self.desired}


class ConnectProxy(BaseHTTPRequestHandler):
    """An HTTP proxy that lets CONNECT through and notes the targets."""

    targets: list[str]

    def do_CONNECT(self) -> None:
        """Join the two sides."""
        self.targets.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as upstream:
            self.send_response(200)
            self.end_headers()
            pairs = {self.connection: upstream, upstream: self.connection}
            while True:
                for source in select.select(list(pairs), [], [], 10)[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        self.close_connection = True
                        return
                    pairs[source].sendall(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


@contextmanager
def connect_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy's address, and the targets that were asked of it."""
    targets: list[str] = []
    handler = type("Handler", (ConnectProxy,), {"targets": targets})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", targets
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def fake_hub(hub: FakeHub | None = None, *, tls: ssl.SSLContext | None = None) -> Iterator[FakeHub]:
    """A small hub on a free loopback port."""
    hub = hub or FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_json = "json" in (self.headers.get("Content-Type") or "")
            status, reply = hub.answer(self.command, self.path, json.loads(content) if is_json else content)
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if hub.protocol is not None:
                self.send_header(HEADER_PROTOCOL, str(hub.protocol))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _handle

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    hub.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def enrolled_home(root: Path, hub_url: str = "http://127.0.0.1:9", *, kind: str = "data") -> WorkerHome:
    """A worker's folder as `join` leaves it."""
    home = WorkerHome(root)
    home.create()
    identity = create_identity("worker-test")
    identity.save(home.keys)
    reply = EnrolReply.model_validate(
        {
            "worker_id": "wrk_own",
            "worker_name": "worker-a",
            "kind": kind,
            "organisation_id": "org_own",
            "organisation_name": "Hospital A",
            "fingerprint": identity.fingerprint,
            "hub_public_key_pem": HUB_KEY_PEM,
            "beat_seconds": 5,
            "hub_time": datetime.now(UTC),
        }
    )
    WorkerConfig(hub_url=hub_url, enrolment=reply).save(home)
    return home


def equip(home: WorkerHome, *, model_folder: Path) -> None:
    """Register the base model, store the dataset and trust the compute worker that `contract_for` names."""
    with TrustBook.changing(home) as book:
        book.add(PEER, "compute")
    model = RegisteredModel(
        model_id="acme/tiny", revision="r1", manifest_hash=MANIFEST, folder=model_folder, parameters=1, bytes=1
    )
    home.models_file.write_text(json.dumps([model.model_dump(mode="json")]))
    folder = home.datasets / "notes" / "v1"
    folder.mkdir(parents=True)
    metadata = {
        "name": "notes",
        "version": 1,
        "format": "prompt_completion",
        "source": "jsonl",
        "rows": 1,
        "train_rows": 1,
        "heldout_rows": 0,
        "digest": DIGEST,
        "created_at": datetime.now(UTC).isoformat(),
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    for part in ("train", "heldout"):
        (folder / f"{part}.jsonl").touch()


def contract_for(home: WorkerHome, **changes: Any) -> dict[str, Any]:
    """A contract that the default policy accepts, as a dictionary to be changed."""
    fingerprint = WorkerConfig.load(home).enrolment.fingerprint
    config = {
        "model": {"name_or_path": "acme/tiny", "revision": "r1", "manifest": MANIFEST},
        "split": {"topology": "u_shape", "head_layers": 2, "tail_layers": 2},
        "training": {"steps": 50, "batch_size": 4},
    }
    own = {
        "party": "hospital-a",
        "role": "client",
        "organisation_id": "org_own",
        "organisation": "Hospital A",
        "worker_id": "wrk_own",
        "worker": "worker-a",
        "fingerprint": fingerprint,
        "dataset": "notes",
        "dataset_version_id": "dsv_1",
        "dataset_version": 1,
        "dataset_digest": DIGEST,
        "receives_adapter": True,
    }
    server = own | {
        "party": "gpu",
        "role": "server",
        "organisation_id": "org_gpu",
        "organisation": "GPU",
        "worker_id": "wrk_gpu",
        "worker": "gpu",
        "fingerprint": PEER,
        "dataset": "",
        "dataset_version_id": "",
        "dataset_version": None,
        "dataset_digest": "",
        "receives_adapter": False,
    }
    return {
        "contract_version": 1,
        "run_id": "run_1",
        "run_name": "test",
        "project_id": "prj_1",
        "project": "Notes",
        "config": config,
        "participants": [own, server],
        "public_prompts": ["Hello"],
        "message_bytes": 1 << 20,
        "traffic": [],
    } | changes


def assignment_for(contract: dict[str, Any] | str, **changes: Any) -> Assignment:
    """An assignment whose hash fits its contract."""
    text = contract if isinstance(contract, str) else canonical_json(contract)
    values = {
        "run_id": "run_1",
        "participant_id": "prt_1",
        "party": "hospital-a",
        "role": "client",
        "attempt": 0,
        "kind": "train",
        "desired": "running",
        "contract": text,
        "contract_hash": hashlib.sha256(text.encode()).hexdigest(),
    }
    return Assignment.model_validate(values | changes)
