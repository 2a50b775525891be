"""The signed HTTP client: every request of a worker to the hub, except enrolment, carries its signature."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ValidationError

from splitcore.bounds import json_object, json_read, plain
from splitcore.errors import CATALOGUE, AppError
from splitcore.wire.transport.certificates import Identity, load_identity
from workers import contracts
from workers.assigned import assignments_read
from workers.contracts import OLDEST_PROTOCOL, PROTOCOL_VERSION
from workers.hub_clock import HubClock
from workers.ledger.book import Book
from workers.ledger.budget import RequestBudget, WithheldError
from workers.ledger.requests import Take
from workers.network import ANSWER_BYTES, ask_bounded, http_client, network_error
from workers.settings import WorkerConfig, WorkerHome
from workers.versions import REFUSED_FORMS, message_json, no_shared_version, told_version, worker_mismatch

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
CHUNK = 1 << 20
ERROR_BYTES = 64 * 1024
ASSIGNMENTS_BYTES = 32 << 20
_OWN_PATH = re.compile(re.escape(contracts.API_PREFIX) + r"/[A-Za-z0-9_\-./]{1,300}(\?[A-Za-z0-9_=&\-]{0,300})?")
# About the worker as a whole (clock, signature, quarantine): what it has to say is kept until that passes.
STATE_CODES = ("CL-1406", "CL-1407", "CL-1409", "CL-1410", "CL-1411", "CL-1412", "CL-1413", "CL-1414")
DETAILS = ("newest", "attempt", "retry_after", "hub_oldest", "hub_newest")  # of a refusal, those acted on
Reply = TypeVar("Reply", bound=BaseModel)


class HubError(AppError):
    """The hub's refusal, or its absence. `transient` says whether the same request may succeed later."""

    def __init__(self, error: AppError, *, status: int = 0, own: bool = False) -> None:
        super().__init__(error.code, error.message, error.remedy, details=error.details)
        self.status = status
        self.is_fault = own and status == 500  # the hub's own code failed: no outage, and no proxy's answer
        self.transient = status == 0 or status >= 500 or status in (408, 425, 429) or error.code in STATE_CODES


class Signer:
    """Makes the headers of a signed request, by the hub's clock."""

    def __init__(self, identity: Identity, worker_id: str, clock: HubClock | None = None) -> None:
        key = serialization.load_pem_private_key(identity.key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AppError("CL-1330")
        self._key, self._worker_id = key, worker_id
        self.clock = clock or HubClock()

    def signature(self, message: bytes) -> str:
        """A message signed with the key, in base64."""
        return base64.b64encode(self._key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()

    def headers(self, method: str, path_and_query: str, body_sha256: str = EMPTY_SHA256) -> dict[str, str]:
        """Fresh headers: each call has its own nonce."""
        timestamp, nonce = f"{self.clock.now():.3f}", secrets.token_hex(16)
        message = contracts.signing_input(method, path_and_query, timestamp, nonce, body_sha256)
        return {
            contracts.HEADER_PROTOCOL: str(contracts.PROTOCOL_VERSION),
            contracts.HEADER_WORKER: self._worker_id,
            contracts.HEADER_TIME: timestamp,
            contracts.HEADER_NONCE: nonce,
            contracts.HEADER_SIGNATURE: self.signature(message),
        }


class HubClient:
    """What a worker says to its hub over HTTPS. Thread-safe."""

    def __init__(self, hub_url: str, signer: Signer, book: Book | None = None, take: Take | None = None) -> None:
        self.hub_url, self.signer = hub_url.rstrip("/"), signer
        self._http = http_client(self.hub_url, book, take)
        self._prefix = urlsplit(self.hub_url).path  # a hub may live below a path
        self.hub_protocol: int | None = None  # the newest that the hub reads; None before its first answer
        self._lock = threading.Lock()

    @classmethod
    def of(cls, home: WorkerHome, config: WorkerConfig | None = None) -> HubClient:
        """The client of an enrolled worker."""
        config = config or WorkerConfig.load(home)
        signer, book = (
            Signer(load_identity(home.keys), config.worker_id, HubClock(home.clock_file)),
            Book(home.ledger_file),
        )
        return cls(config.hub_url, signer, book, RequestBudget(home, book).take)

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def assignments(self) -> contracts.Assignments:
        """What the hub wants of this worker. The hub's time sets the signer's clock."""
        asked_at = time.time()
        try:
            reply = assignments_read(self._answer("GET", "/assignments", None, 0.0))
        except ValidationError:
            raise _formless() from None
        self.signer.clock.follow(reply.hub_time, asked_at=asked_at)
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
            raise _formless() from None

    def upload(self, path: str, query: contracts.Message, file: Path) -> None:
        """PUT a file; the signature covers the SHA-256 announced in the query."""
        fields = query.model_dump(mode="json")
        target = f"{contracts.API_PREFIX}{path}?{urlencode(fields)}"

        def send() -> httpx.Response:
            headers = self.signer.headers("PUT", self._prefix + target, fields["sha256"])
            headers["Content-Length"] = str(file.stat().st_size)
            return ask_bounded(self._http, "PUT", target, content=_chunks(file), headers=headers, timeout=300.0)

        self._read(self._send(send))

    def download(self, path: str, out: Path, *, most_bytes: int) -> str:
        """GET a file below the hub's API into `out`; returns its SHA-256. Raises AppError CL-1436, HubError."""
        _check_own_path(path)
        headers = {**self.signer.headers("GET", self._prefix + path), "Accept-Encoding": "identity"}
        digest = hashlib.sha256()
        try:
            with self._http.stream("GET", path, headers=headers, timeout=300.0) as response:
                if response.status_code != 200:
                    raise _refusal(_error_body(response), response.status_code, self.hub_url)
                left = most_bytes
                with out.open("wb") as file:
                    for chunk in response.iter_raw(CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise AppError("CL-1436", f"The file is larger than {most_bytes} bytes.")
                        digest.update(chunk)
                        file.write(chunk)
        except httpx.HTTPError as error:
            raise HubError(network_error(error, self.hub_url)) from None
        return digest.hexdigest()

    def _answer(self, method: str, path: str, body: contracts.Message | None, patience: float) -> dict[str, Any]:
        deadline, pause = time.monotonic() + patience, 0.5
        while True:
            try:
                return self._say(method, path, body)
            except HubError as error:
                if not error.transient or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 10.0)

    def _say(self, method: str, path: str, body: contracts.Message | None) -> dict[str, Any]:
        """Send a message in the form that the hub reads; where it refuses a field, once more in an older form."""
        if body is None:
            return self._request(method, path, b"")
        content = message_json(body, min(self.hub_protocol or PROTOCOL_VERSION, PROTOCOL_VERSION))
        try:
            return self._request(method, path, content)
        except HubError as error:
            older = older_form(body, content, error)
            if older is None:
                raise
        return self._request(method, path, older)

    def _request(self, method: str, path: str, content: bytes) -> dict[str, Any]:
        most_bytes = ASSIGNMENTS_BYTES if path == "/assignments" else ANSWER_BYTES
        digest, target = hashlib.sha256(content).hexdigest(), contracts.API_PREFIX + path

        def send() -> httpx.Response:
            headers = self.signer.headers(method, self._prefix + target, digest)
            if content:
                headers["Content-Type"] = "application/json"
            return ask_bounded(
                self._http, method, target, most_bytes=most_bytes, content=content or None, headers=headers
            )

        return self._read(self._send(send))

    def _send(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send once; when the hub says that the clock is wrong, follow the hub's and send once more."""
        try:
            asked_at = time.time()
            response = send()
            if response.status_code >= 400 and (hub_time := _clock_of(response)):
                self.signer.clock.follow(hub_time, asked_at=asked_at)
                response = send()
            return response
        except httpx.HTTPError as error:
            raise HubError(network_error(error, self.hub_url)) from None
        except WithheldError:
            raise
        except AppError as error:
            raise HubError(error) from None  # too large an answer: what was to be said is kept, as with none

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        data = read_answer(response, self.hub_url)
        self.hub_protocol = hub_version(response)
        return data


def _formless() -> HubError:
    return HubError(AppError("CL-1407", "The hub's response doesn't have the expected form."), status=400)


def _check_own_path(path: str) -> None:
    """A path below the hub's API, written plainly: no other host, no way up, nothing encoded. Raises CL-1436."""
    if not _OWN_PATH.fullmatch(path) or ".." in path or "//" in path:
        raise AppError("CL-1436")


def _error_body(response: httpx.Response) -> Any:
    """The JSON of a refusal that is still to be read, of at most 64 KiB; None where it is none."""
    text = b""
    for chunk in response.iter_raw(CHUNK):
        text += chunk
        if len(text) > ERROR_BYTES:
            return None
    try:
        return json_read(text)
    except ValueError:
        return None


def _refusal(data: Any, status: int, url: str, *, words: bool = False) -> HubError:
    """A refusal as an error of our own: the code is the hub's, the words are the catalogue's, whoever answered.

    `words`: the hub's own, for a person who has named this hub and reads them in a terminal; never for a report.
    """
    code = data.get("code") if isinstance(data, dict) else None
    if words and isinstance(code, str) and code in CATALOGUE:
        message, remedy = (plain(str(data[name])) if data.get(name) else None for name in ("message", "remedy"))
        details = data.get("details") if isinstance(data.get("details"), dict) else {}
        return HubError(AppError(code, message, remedy, details=details), status=status, own=True)
    if code == "CL-1407" and (found := no_shared_version(_known_details(data.get("details")))):
        return HubError(found, status=status, own=True)
    if isinstance(code, str) and code in CATALOGUE:
        return HubError(AppError(code, details=_known_details(data.get("details"))), status=status, own=True)
    if isinstance(code, str) and re.fullmatch(r"CL-\d{4}", code):
        return HubError(
            AppError("CL-1999", f"The hub refused with {code}, which this version doesn't have."), status=status
        )
    known = "CL-1434" if status >= 500 else "CL-1433"
    return HubError(AppError(known, f"{url} answered with {status}."), status=status)


def _known_details(details: Any) -> dict[str, Any]:
    """Of a refusal's details those that a worker acts on: numbers and names of fields, never a sentence."""
    if not isinstance(details, dict):
        return {}
    return {name: details[name] for name in DETAILS if type(details.get(name)) is int}


def hub_version(response: httpx.Response) -> int:
    """The newest version that the hub reads, as its answer tells; a hub that tells none is of version 2.

    Raises HubError CL-1407 where this worker knows nothing so old.
    """
    told = told_version(response.headers.get(contracts.HEADER_PROTOCOL)) or 2
    if told < OLDEST_PROTOCOL:
        raise HubError(worker_mismatch(told, told), status=400)
    return told


def older_form(message: contracts.Message, content: bytes, error: HubError) -> bytes | None:
    """A refused message as an older hub knows it: up to the version that the refusal names, else the oldest.

    None where that changes nothing.
    """
    if error.code not in REFUSED_FORMS:
        return None
    newest = error.details.get("hub_newest")
    version = newest if type(newest) is int and newest >= OLDEST_PROTOCOL else OLDEST_PROTOCOL
    older = message_json(message, min(version, PROTOCOL_VERSION))
    return older if older != content else None


def read_answer(response: httpx.Response, url: str, *, words: bool = False) -> dict[str, Any]:
    """The JSON object of an answer. Raises HubError with the catalogue's words; a foreign text is never repeated."""
    try:
        data = json_read(response.content) if response.content else {}
    except ValueError:
        data = None
    if response.is_success and isinstance(data, dict):
        return data
    raise _refusal(data, response.status_code, url, words=words)


def _clock_of(response: httpx.Response) -> datetime | None:
    """The hub's time, where it refused a request for its time."""
    try:
        data = json_object(response.content)
        if data["code"] != "CL-1406":
            return None
        told = datetime.fromisoformat(data["details"]["hub_time"])
        return told if told.tzinfo else None
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
