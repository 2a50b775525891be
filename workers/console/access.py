"""Who may do what on the console: a hub's ticket may *add* one dataset, the local PIN may also *see and delete*.

A ticket starts one dataset, within its own ten minutes. What was started may be finished, since a large file takes
longer; its holder meets no upload but those of the same browser.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec

from cryptography.exceptions import InvalidSignature
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse

from splitcore.bounds import json_object
from splitcore.errors import AppError
from splitcore.hub_key import hub_public_key
from workers.console.models import SpentTicket
from workers.console.pin import check_pin
from workers.console.site import conf, site
from workers.hub_clock import HubClock

P = ParamSpec("P")
View = Callable[..., HttpResponse]
_LONGEST_SECONDS = 86400  # what expires later is no ticket of a hub
_START_SECONDS = 600  # at most, whatever expiry the hub has signed
_FINISH_SECONDS = 6 * 3600  # a large file on a slow line
_FILES = 4  # at a time: rows, held-out rows, and a wrong choice of each
_TRIES = 30  # files that a ticket may start in all; one that is refused or discarded makes room for the next


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _hub_clock() -> HubClock:
    """The agent follows the hub's clock; this process reads what it has noted."""
    return HubClock(site().home.clock_file)


def ticket_claims(ticket: str) -> dict[str, Any]:
    """The claims of a ticket that the pinned hub key signed for this worker. Raises CL-1450 to CL-1452."""
    enrolment = site().enrolment
    if enrolment is None:
        raise AppError("CL-1450", "This worker isn't enrolled, so it accepts no tickets.")
    try:
        body, signature = ticket.split(".")
        hub_public_key(enrolment.hub_public_key_pem).verify(_decode(signature), body.encode())
        claims = json_object(_decode(body))
    except (ValueError, InvalidSignature):
        raise AppError("CL-1450") from None
    if claims.get("worker_id") != enrolment.worker_id or claims.get("action") != "add":
        raise AppError("CL-1450", "The ticket is for another worker or another action.")
    if not isinstance(claims.get("jti"), str) or not claims["jti"]:
        raise AppError("CL-1450", "The ticket has no serial number, so it could be reused.")
    expires = claims.get("exp")
    if type(expires) is not int or not 0 <= expires - _hub_clock().now() <= _LONGEST_SECONDS:
        raise AppError("CL-1451")
    return claims


def redeem_ticket(request: HttpRequest, ticket: str) -> None:
    """Exchange a ticket for the right to add, once. Raises CL-1450 to CL-1452."""
    claims = ticket_claims(ticket)
    try:
        with transaction.atomic():
            SpentTicket.objects.create(
                ticket_id=claims["jti"][:64], expires_at=datetime.fromtimestamp(claims["exp"], UTC)
            )
    except IntegrityError:
        raise AppError("CL-1452") from None
    forgotten = datetime.fromtimestamp(_hub_clock().now() - _LONGEST_SECONDS, UTC)  # the hub's clock may be set back
    SpentTicket.objects.filter(expires_at__lt=forgotten).delete()
    request.session.cycle_key()
    now = time.time()
    request.session["start_until"] = now + min(claims["exp"] - _hub_clock().now(), _START_SECONDS)
    request.session["finish_until"] = now + _FINISH_SECONDS
    request.session["tries_left"] = _TRIES
    request.session["added_for"] = str(claims.get("name", ""))[:80]


def unlock(request: HttpRequest, pin: str) -> None:
    """Accept the local PIN. Raises CL-1454 (wrong), CL-1455 (too many tries)."""
    check_pin(conf.HOME, pin)
    request.session.cycle_key()
    request.session["unlocked"] = True


def is_unlocked(request: HttpRequest) -> bool:
    """Whether this browser gave the PIN."""
    return bool(request.session.get("unlocked"))


def may_add(request: HttpRequest) -> bool:
    """Whether this browser may go on with its dataset, by ticket or by PIN."""
    return is_unlocked(request) or request.session.get("finish_until", 0) > time.time()


def start_file(request: HttpRequest, held: int) -> None:
    """Take one of a ticket's tries; the browser holds `held` good files here. Raises AppError CL-1451, CL-1457."""
    if is_unlocked(request):
        return
    if request.session.get("start_until", 0) <= time.time():
        raise AppError("CL-1451")
    if held >= _FILES:
        raise AppError("CL-1457", f"You already have {held} files here.", "Discard one of them, then choose again.")
    left = request.session.get("tries_left", 0)
    if left <= 0:
        raise AppError("CL-1457")
    request.session["tries_left"] = left - 1


def end_adding(request: HttpRequest) -> None:
    """The ticket's one dataset is stored."""
    for key in ("start_until", "finish_until", "tries_left"):
        request.session.pop(key, None)


def owner_of(request: HttpRequest) -> str:
    """The mark of this browser on its uploads; the person whom a ticket names is the hub's word."""
    if "owner" not in request.session:
        request.session["owner"] = secrets.token_hex(16)
    return str(request.session["owner"])


def may_touch(request: HttpRequest, owner: str) -> bool:
    """Whether this browser may see or discard an upload."""
    return is_unlocked(request) or (bool(owner) and owner == request.session.get("owner"))


def needs_pin(view: View) -> View:
    """For what shows or deletes rows, and for raw logs."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_unlocked(request):
            raise AppError("CL-1453")
        return view(request, *args, **kwargs)

    return guarded


def needs_add(view: View) -> View:
    """For what adds a dataset."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not may_add(request):
            raise AppError("CL-1450", "Adding a dataset requires a link from the hub, or the worker's PIN.")
        return view(request, *args, **kwargs)

    return guarded
