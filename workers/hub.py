"""The signed HTTP client: every request of a worker to the hub, except enrolment, carries its signature."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ValidationError

from splitcore.errors import CATALOGUE, AppError
from splitcore.wire.certificates import Identity, load_identity
from workers import contracts
from workers.ledger.book import Book
from workers.network import http_client, network_error
from workers.settings import WorkerConfig, WorkerHome

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
CHUNK = 1 << 20
# About the worker as a whole (clock, signature, quarantine): what it has to say is kept until that passes.
STATE_CODES = ("CL-1406", "CL-1409", "CL-1410", "CL-1411", "CL-1412", "CL-1413", "CL-1414")
Reply = TypeVar("Reply", bound=BaseModel)


class HubError(AppError):
    """The hub's refusal, or its absence. `transient` says whether the same request may succeed later."""

    def __init__(self, error: AppError, *, status: int = 0, own: bool = False) -> None:
        super().__init__(error.code, error.message, error.remedy, details=error.details)
        self.status = status
        self.is_fault = own and status == 500  # the hub's own code failed: no outage, and no proxy's answer
        self.transient = status == 0 or status >= 500 or status in (408, 425, 429) or error.code in STATE_CODES


class Signer:
    """Makes the four headers of a signed request. Its clock follows the hub's."""

    def __init__(self, identity: Identity, worker_id: str) -> None:
        key = serialization.load_pem_private_key(identity.key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AppError("CL-1330")
        self._key, self._worker_id = key, worker_id
        self.offset = 0.0  # seconds by which the hub's clock is ahead of this machine's

    def headers(self, method: str, path_and_query: str, body_sha256: str = EMPTY_SHA256) -> dict[str, str]:
        """Fresh headers: each call has its own nonce."""
        timestamp, nonce = f"{time.time() + self.offset:.3f}", secrets.token_hex(16)
        message = contracts.signing_input(method, path_and_query, timestamp, nonce, body_sha256)
        signature = self._key.sign(message, ec.ECDSA(hashes.SHA256()))
        return {
            contracts.HEADER_WORKER: self._worker_id,
            contracts.HEADER_TIME: timestamp,
            contracts.HEADER_NONCE: nonce,
            contracts.HEADER_SIGNATURE: base64.b64encode(signature).decode(),
        }

    def follow(self, hub_time: datetime) -> None:
        """Set the clock by the hub's."""
        self.offset = (hub_time - datetime.now(UTC)).total_seconds()


class HubClient:
    """What a worker says to its hub over HTTPS. Thread-safe."""

    def __init__(self, hub_url: str, signer: Signer, book: Book | None = None) -> None:
        self.hub_url, self.signer = hub_url.rstrip("/"), signer
        self._http = http_client(self.hub_url, book)
        self._prefix = urlsplit(self.hub_url).path  # a hub may live below a path
        self._lock = threading.Lock()

    @classmethod
    def of(cls, home: WorkerHome, config: WorkerConfig | None = None) -> HubClient:
        """The client of an enrolled worker."""
        config = config or WorkerConfig.load(home)
        return cls(config.hub_url, Signer(load_identity(home.keys), config.worker_id), Book(home.ledger_file))

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def assignments(self) -> contracts.Assignments:
        """What the hub wants of this worker. The hub's time sets the signer's clock."""
        reply = self.call("GET", "/assignments", reply=contracts.Assignments)
        self.signer.follow(reply.hub_time)
        return reply

    def post(self, path: str, body: contracts.Message, *, patience: float = 0.0) -> dict[str, Any]:
        """Send a message whose answer does not matter beyond its success."""
        return self._answer("POST", path, body, patience)

    def call(
        self,
        method: str,
        path: str,
        body: contracts.Message | None = None,
        *,
        reply: type[Reply],
        patience: float = 0.0,
    ) -> Reply:
        """Send a message and read the answer. `patience`: seconds of retrying while the hub is away."""
        try:
            return reply.model_validate(self._answer(method, path, body, patience))
        except ValidationError:
            raise HubError(AppError("CL-1407", "The hub's answer does not have the agreed form."), status=400) from None

    def upload(self, path: str, query: contracts.Message, file: Path) -> None:
        """PUT a file; the signature covers the SHA-256 announced in the query."""
        fields = query.model_dump(mode="json")
        target = f"{contracts.API_PREFIX}{path}?{urlencode(fields)}"

        def send() -> httpx.Response:
            headers = self.signer.headers("PUT", self._prefix + target, fields["sha256"])
            headers["Content-Length"] = str(file.stat().st_size)
            return self._http.put(target, content=_chunks(file), headers=headers, timeout=300.0)

        self._read(self._send(send))

    def download(self, path: str, out: Path) -> str:
        """GET a file of the hub below its address into `out`; returns its SHA-256."""
        headers = self.signer.headers("GET", self._prefix + path)
        digest = hashlib.sha256()
        try:
            with self._http.stream("GET", path, headers=headers, timeout=300.0) as response:
                if response.status_code != 200:
                    response.read()
                    self._read(response)
                with out.open("wb") as file:
                    for chunk in response.iter_bytes(CHUNK):
                        digest.update(chunk)
                        file.write(chunk)
        except httpx.HTTPError as error:
            raise HubError(network_error(error, self.hub_url)) from None
        return digest.hexdigest()

    def _answer(self, method: str, path: str, body: contracts.Message | None, patience: float) -> dict[str, Any]:
        content = body.model_dump_json().encode() if body is not None else b""
        digest, target = hashlib.sha256(content).hexdigest(), contracts.API_PREFIX + path

        def send() -> httpx.Response:
            headers = self.signer.headers(method, self._prefix + target, digest)
            if content:
                headers["Content-Type"] = "application/json"
            return self._http.request(method, target, content=content or None, headers=headers)

        deadline, pause = time.monotonic() + patience, 0.5
        while True:
            try:
                return self._read(self._send(send))
            except HubError as error:
                if not error.transient or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 10.0)

    def _send(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send once; when the hub says that the clock is wrong, follow the hub's and send once more."""
        try:
            response = send()
            if response.status_code >= 400 and (hub_time := _clock_of(response)):
                self.signer.follow(hub_time)
                response = send()
            return response
        except httpx.HTTPError as error:
            raise HubError(network_error(error, self.hub_url)) from None

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        return read_answer(response, self.hub_url)


def read_answer(response: httpx.Response, url: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises HubError with the hub's own words, or with what is known."""
    try:
        data = response.json() if response.content else {}
    except ValueError:
        data = None
    if response.is_success and isinstance(data, dict):
        return data
    if isinstance(data, dict) and isinstance(data.get("code"), str):
        code = data["code"] if data["code"] in CATALOGUE else "CL-1999"
        error = AppError(code, data.get("message"), data.get("remedy"), details=data.get("details") or {})
        raise HubError(error, status=response.status_code, own=data["code"] in CATALOGUE)
    if response.status_code >= 500:
        raise HubError(AppError("CL-1434", f"{url} answered with {response.status_code}."), status=response.status_code)
    raise HubError(AppError("CL-1433", f"{url} answered with {response.status_code}."), status=response.status_code)


def _clock_of(response: httpx.Response) -> datetime | None:
    """The hub's time, where it refused a request for its time."""
    try:
        data = response.json()
        if data["code"] != "CL-1406":
            return None
        told = datetime.fromisoformat(data["details"]["hub_time"])
        return told if told.tzinfo else None
    except (ValueError, KeyError, TypeError):
        return None


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
