"""Signed requests of workers: who sent it, that it is fresh, unchanged and sent once.

The order matters: nothing about a worker is told before its signature holds, and a nonce is spent only by a request
that would have been served.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from splitcore.errors import AppError
from webapp.audit.models import Restoration
from webapp.fleet.certificates import signature_holds
from webapp.fleet.models import SpentNonce, Worker, WorkerState
from webapp.fleet.protocol import UNTOLD, reader_check
from workers.contracts import (
    HEADER_NONCE,
    HEADER_PROTOCOL,
    HEADER_SIGNATURE,
    HEADER_TIME,
    HEADER_WORKER,
    signing_input,
)
from workers.versions import told_version

_NONCE = re.compile(r"[0-9a-f]{32}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_STATE_CODES = {
    WorkerState.REVOKED: "CL-1412",
    WorkerState.LEFT: "CL-1412",
    WorkerState.QUARANTINED: "CL-1413",
    WorkerState.PENDING: "CL-1414",
}
SPENT = "cutlayer.nonce"  # the key of an ASGI scope for the nonce that was spent before the body was read
ACTIVE = (WorkerState.ACTIVE,)
ENROLLED = (WorkerState.ACTIVE, WorkerState.PENDING)


class WorkerRequest(HttpRequest):
    """A request whose signature was verified."""

    worker: Worker
    signed_body: bytes
    reads: str | None  # the header in which the worker tells the newest protocol that it knows


@dataclass(frozen=True)
class SignedCall:
    """What a signature covers, and the headers that carry it."""

    method: str
    path_and_query: str
    body_sha256: str
    worker_id: str
    timestamp: str
    nonce: str
    signature: str


def call_of(scope: Mapping[str, Any], *, method: str, body_sha256: str) -> SignedCall:
    """What the signature headers of an ASGI scope claim."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope.get("query_string", b"").decode("latin-1")
    return SignedCall(
        method=method,
        path_and_query=scope["path"] + (f"?{query}" if query else ""),
        body_sha256=body_sha256,
        worker_id=headers.get(HEADER_WORKER.lower(), ""),
        timestamp=headers.get(HEADER_TIME.lower(), ""),
        nonce=headers.get(HEADER_NONCE.lower(), ""),
        signature=headers.get(HEADER_SIGNATURE.lower(), ""),
    )


def reads_of(scope: Mapping[str, Any]) -> int:
    """The newest version of the protocol that a worker which opens a connection reads."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return told_version(headers.get(HEADER_PROTOCOL.lower())) or UNTOLD


def clock_check(*, sent_at: datetime) -> None:
    """Refuse (CL-1406, with both times) what was sent at a time too far from the hub's."""
    now = timezone.now()
    if abs((now - sent_at).total_seconds()) > settings.WORKER_CLOCK_SKEW_SECONDS:
        raise AppError(
            "CL-1406",
            f"The worker's clock shows {sent_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, "
            f"the hub's {now:%Y-%m-%d %H:%M:%S} UTC.",
            details={"worker_time": sent_at.isoformat(), "hub_time": now.isoformat()},
        )


def _time_of(timestamp: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(timestamp), tz=UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise AppError("CL-1410", f"The header {HEADER_TIME} isn't a time in seconds.") from error


def state_check(*, worker: Worker, states: Iterable[str] = ACTIVE) -> None:
    """Refuse (CL-1412 to CL-1414) a worker in none of `states`."""
    if worker.state not in states:
        raise AppError(_STATE_CODES[WorkerState(worker.state)])


def signed_call_check(*, call: SignedCall, states: Iterable[str] = ACTIVE) -> Worker:
    """The worker that signed a call, which may be the repetition of an earlier one."""
    if not (call.worker_id and call.signature and _NONCE.fullmatch(call.nonce)):
        raise AppError("CL-1410", "The request lacks a signature header, or the nonce isn't 32 hex characters.")
    sent_at = _time_of(call.timestamp)
    # What a worker tells of itself is most of its row, and no call asks for it.
    rows = Worker.objects.select_related("organisation").defer("facts", "checks", "policy", "lanes")
    worker = rows.filter(id=call.worker_id).first()
    if worker is None:
        raise AppError("CL-1410")
    try:
        signature = base64.b64decode(call.signature, validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise AppError("CL-1411") from error
    message = signing_input(call.method, call.path_and_query, call.timestamp, call.nonce, call.body_sha256)
    if not signature_holds(pem=worker.certificate_pem, signature=signature, message=message):
        raise AppError("CL-1411")
    clock_check(sent_at=sent_at)
    state_check(worker=worker, states=states)
    return worker


def signed_call_verify(*, call: SignedCall, states: Iterable[str] = ACTIVE) -> Worker:
    """The worker that signed a call, once: a second time the same call is refused with CL-1409."""
    worker = signed_call_check(call=call, states=states)
    call_spend(worker=worker, call=call)
    return worker


def call_spend(*, worker: Worker, call: SignedCall) -> None:
    """Use a verified call up: the same once more is refused with CL-1409.

    So is one that was signed before this hub was restored, which knows no longer what it took then.
    """
    restored = restored_at()
    if restored is not None and _time_of(call.timestamp) < restored:
        raise AppError("CL-1409")
    _nonce_spend(worker_id=worker.id, nonce=call.nonce)


@functools.cache
def restored_at() -> datetime | None:
    """When this hub was restored last, if ever; no process of the hub outlives a restore."""
    return Restoration.objects.order_by("-number").values_list("at", flat=True).first()


def _nonce_spend(*, worker_id: str, nonce: str) -> None:
    # Kept for twice the window: a request may be dated up to one window ahead of the hub's clock.
    expires_at = timezone.now() + timedelta(seconds=2 * settings.WORKER_CLOCK_SKEW_SECONDS + 60)
    try:
        with transaction.atomic():
            SpentNonce.objects.create(worker_id=worker_id, nonce=nonce, expires_at=expires_at)
    except IntegrityError as error:
        raise AppError("CL-1409") from error


def body_read(request: HttpRequest) -> bytes:
    """The body, refused with CL-1802 when longer than the hub takes, whatever the header says."""
    limit: int = settings.WORKER_BODY_MAX_BYTES
    body = request.read(limit + 1)
    if len(body) > limit:
        raise AppError("CL-1802", f"The message is larger than {limit} bytes.")
    return body


def _announced_hash(request: HttpRequest) -> str:
    announced = request.GET.get("sha256", "")
    if not _HEX64.fullmatch(announced):
        raise AppError("CL-1415", "The query lacks the file's sha256.")
    return announced


WorkerView = Callable[..., HttpResponseBase]


def signed_by_worker(*, states: Iterable[str] = ACTIVE, announced: bool = False) -> Callable[[WorkerView], WorkerView]:
    """Let a view be called by a signed request alone, which gets `worker` and `signed_body`.

    With `announced` the body is a file: the signature covers the SHA-256 named in the query, the view reads the
    stream and must compare.
    """

    def decorate(view: WorkerView) -> WorkerView:
        @csrf_exempt
        @functools.wraps(view)
        def inner(request: WorkerRequest, *args: str, **kwargs: str) -> HttpResponseBase:
            request.signed_body = b"" if announced else body_read(request)
            digest = _announced_hash(request) if announced else hashlib.sha256(request.signed_body).hexdigest()
            call = SignedCall(
                method=request.method or "",
                path_and_query=request.get_full_path(),
                body_sha256=digest,
                worker_id=request.headers.get(HEADER_WORKER, ""),
                timestamp=request.headers.get(HEADER_TIME, ""),
                nonce=request.headers.get(HEADER_NONCE, ""),
                signature=request.headers.get(HEADER_SIGNATURE, ""),
            )
            spent = getattr(request, "scope", {}).get(SPENT) == call.nonce  # by BodyLimit, before the file came
            request.worker = (signed_call_check if spent else signed_call_verify)(call=call, states=states)
            request.reads = request.headers.get(HEADER_PROTOCOL)
            reader_check(request.reads)
            try:
                return view(request, *args, **kwargs)
            except Http404 as error:
                raise AppError("CL-1404") from error

        inner.signed_by_worker = True  # type: ignore[attr-defined]  # the route table's test asks for it
        return inner

    return decorate
