"""How a worker joins: single-use tokens, of which only the hash is stored, and their redemption."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError
from django.utils import timezone

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.models import AuditEntry
from webapp.audit.services import audit_record
from webapp.core.ids import new_token, token_hash
from webapp.core.live import notify_org
from webapp.core.names import alike_among
from webapp.core.transactions import service
from webapp.fleet.certificates import WorkerCertificate, certificate_parse
from webapp.fleet.hub_key import hub_public_key_pem
from webapp.fleet.models import EnrolmentToken, Worker, WorkerState
from webapp.fleet.presence import console_url_stored, facts_stored
from webapp.fleet.protocol import spoken_check
from webapp.fleet.signing import clock_check
from webapp.orgs.models import Organisation, PartyKind
from webapp.orgs.permissions import Action, require, still_may
from workers.contracts import EnrolReply, EnrolRequest

TOKEN_PREFIX = "clw"  # noqa: S105  (the prefix of a token, not a token)
GONE = (WorkerState.REVOKED, WorkerState.LEFT)


@dataclass(frozen=True)
class NewToken:
    """A token's row and its plain text, which is shown once and stored nowhere."""

    row: EnrolmentToken
    secret: str


def name_free(*, organisation: Organisation, name: str, own: str = "") -> None:
    """Refuse (CL-1416) a name that another worker of the organisation has, or that nobody can tell from it."""
    others = Worker.objects.filter(organisation=organisation).exclude(state__in=GONE).exclude(pk=own)
    other = alike_among(name, others.values_list("name", flat=True))
    if other is not None:
        raise AppError("CL-1416", f"A worker named {other} already exists.")


@service
def enrolment_token_create(
    *, actor: User, organisation: Organisation, worker_name: str, kind: str, labels: list[str] | None = None
) -> NewToken:
    """Make the token with which one worker may join within the next hour."""
    require(actor, Action.ENROL_WORKER, organisation)
    name_free(organisation=organisation, name=worker_name)
    secret = new_token(TOKEN_PREFIX)
    row = EnrolmentToken.objects.create(
        organisation=organisation,
        created_by=actor,
        token_hash=token_hash(secret),
        worker_name=worker_name,
        kind=PartyKind(kind),
        labels=labels or [],
        expires_at=timezone.now() + timedelta(minutes=settings.ENROLMENT_TOKEN_MINUTES),
    )
    audit_record(
        actor=actor,
        action="worker.token_created",
        organisation_id=organisation.id,
        object_id=row.id,
        details={"worker_name": worker_name, "kind": row.kind},
    )
    return NewToken(row=row, secret=secret)


@service
def enrolment_token_revoke(*, actor: User, token: EnrolmentToken) -> EnrolmentToken:
    """Withdraw a token that was not used yet."""
    require(actor, Action.ENROL_WORKER, token.organisation)
    row = EnrolmentToken.objects.select_for_update(no_key=True).get(pk=token.pk)
    if row.used_at is not None:
        raise AppError("CL-1417", "The token has already been used. Revoke the worker instead.")
    if row.revoked_at is None:
        _revoke(actor, row)
    return row


@service
def enrolment_tokens_withdraw(*, actor: User, maker: User, organisation: Organisation) -> None:
    """Withdraw the unused tokens of a person who may enrol workers no longer."""
    if still_may(maker, Action.ENROL_WORKER, organisation):
        return
    known = EnrolmentToken.objects.select_for_update(of=("self",), no_key=True).filter(
        organisation=organisation, created_by=maker
    )
    for row in known.filter(used_at=None, revoked_at=None, expires_at__gt=timezone.now()).order_by("pk"):
        _revoke(actor, row)


def _revoke(actor: User, row: EnrolmentToken) -> None:
    row.revoked_at = timezone.now()
    row.save(update_fields=["revoked_at", "updated_at"])
    audit_record(actor=actor, action="worker.token_revoked", organisation_id=row.organisation_id, object_id=row.id)


def _same_again(*, token: EnrolmentToken, certificate: WorkerCertificate) -> Worker | None:
    """The worker that this very certificate enrolled with this token, while the token lives: a repeated request."""
    worker = token.worker
    if worker is None or worker.fingerprint != certificate.fingerprint or worker.state in GONE:
        return None
    return worker if timezone.now() <= token.expires_at else None


def _token_check(*, token: EnrolmentToken) -> None:
    if token.revoked_at is not None:
        raise AppError("CL-1405")
    if token.used_at is not None:
        raise AppError("CL-1403")
    if timezone.now() > token.expires_at:
        raise AppError("CL-1402", f"The enrolment token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC.")


def _maker_check(*, token: EnrolmentToken) -> None:
    if not still_may(token.created_by, Action.ENROL_WORKER, token.organisation):
        raise AppError("CL-1405", "The person who created the enrolment token is no longer allowed to enrol workers.")


def fingerprint_is_used(fingerprint: str) -> bool:
    """Whether a worker has the certificate, or had it: the audit log keeps each one that came into force."""
    came = AuditEntry.objects.filter(action__in=("worker.enrolled", "worker.key_rotated"))
    return (
        Worker.objects.filter(fingerprint=fingerprint).exists()
        or came.filter(details__fingerprint=fingerprint).exists()
    )


def _worker_create(*, token: EnrolmentToken, certificate: WorkerCertificate, request: EnrolRequest) -> Worker:
    if fingerprint_is_used(certificate.fingerprint):
        raise AppError("CL-1408", "This certificate is or was used by another worker.")
    name_free(organisation=token.organisation, name=token.worker_name)
    worker = Worker.objects.create(
        organisation=token.organisation,
        name=token.worker_name,
        kind=token.kind,
        labels=token.labels,
        certificate_pem=certificate.pem,
        fingerprint=certificate.fingerprint,
        version=request.facts.cutlayer,
        console_url=console_url_stored(request.console_url),
        facts=facts_stored(request.facts),
    )
    token.used_at, token.worker = timezone.now(), worker
    token.save(update_fields=["used_at", "worker", "updated_at"])
    audit_record(
        actor=worker,
        action="worker.enrolled",
        organisation_id=worker.organisation_id,
        object_id=worker.id,
        details={"name": worker.name, "fingerprint": worker.fingerprint, "token": token.id},
    )
    notify_org(worker.organisation_id, "worker", worker.id)
    return worker


def worker_enrol(*, request: EnrolRequest) -> Worker:
    """Redeem a token: exactly one worker comes of it, however many ask at once.

    The same certificate with the same token gets the same worker again, so that `join` may be repeated after a lost
    reply.
    """
    clock_check(sent_at=request.sent_at)
    spoken_check(request.protocol)
    certificate = certificate_parse(request.certificate_pem)
    try:
        return _redeem(request, certificate)
    except IntegrityError as error:
        # Two tokens redeemed at the same moment for one name or one certificate.
        raise AppError("CL-1408", "A worker with this name or certificate was enrolled at the same moment.") from error


@service
def _redeem(request: EnrolRequest, certificate: WorkerCertificate) -> Worker:
    token = (
        EnrolmentToken.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organisation", "worker")
        .filter(token_hash=token_hash(request.token))
        .first()
    )
    if token is None:
        raise AppError("CL-1401")
    worker = _same_again(token=token, certificate=certificate)
    if worker is not None:
        return worker
    _token_check(token=token)
    _maker_check(token=token)
    return _worker_create(token=token, certificate=certificate, request=request)


def enrol_reply(*, worker: Worker) -> EnrolReply:
    """What the worker keeps."""
    return EnrolReply(
        worker_id=worker.id,
        worker_name=worker.name,
        kind=PartyKind(worker.kind).value,
        organisation_id=worker.organisation_id,
        organisation_name=worker.organisation.name,
        fingerprint=worker.fingerprint,
        hub_public_key_pem=hub_public_key_pem(),
        beat_seconds=settings.WORKER_BEAT_SECONDS,
        hub_time=timezone.now(),
    )
