"""Writes on workers: confirm, quarantine, release, revoke, rename, rotate the key, leave."""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError
from django.utils import timezone

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.live import close_worker, notify_org, wake_worker
from webapp.core.transactions import service
from webapp.fleet.certificates import WorkerCertificate, certificate_parse, proof_holds
from webapp.fleet.enrolment import fingerprint_is_used, name_free
from webapp.fleet.models import Worker, WorkerModel, WorkerState
from webapp.orgs.permissions import Action, require
from webapp.runs.lifecycle import runs_lock, worker_shut_out
from webapp.runs.lifecycle.quarantine import runs_hold, runs_let_go
from webapp.runs.models import Run
from webapp.runs.services.parties import runs_return_to_draft
from workers.contracts import WAKE_COPY, ModelRegistration, RotateRequest, rotation_input

COPY_TOLD_EVERY = timedelta(hours=1)
MODELS = 200  # of one worker: pages list them all, and their configurations are kept
GONE = (WorkerState.REVOKED, WorkerState.LEFT)


def _locked(worker: Worker) -> Worker:
    return Worker.objects.select_for_update(of=("self",), no_key=True).select_related("organisation").get(pk=worker.pk)


def _move(*, worker: Worker, to: WorkerState, allowed: tuple[WorkerState, ...]) -> None:
    if worker.state not in allowed:
        raise AppError("CL-1417", f"The worker is {worker.get_state_display().lower()}.")
    worker.state = to
    worker.save(update_fields=["state", "confirmed_by", "confirmed_at", "updated_at"])
    notify_org(worker.organisation_id, "worker", worker.id)


def _audit(*, actor: User | Worker, action: str, worker: Worker, **details: str) -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=worker.organisation_id,
        object_id=worker.id,
        details={"name": worker.name, **details},
    )


def _return_runs_of(actor: User | Worker, worker: Worker, what: str) -> None:
    why = f"The worker {worker.name} of {worker.organisation.name} {what}."
    runs_return_to_draft(actor=actor, runs=Run.objects.filter(participants__worker=worker), why=why)


@service
def worker_confirm(*, actor: User, worker: Worker, fingerprint: str) -> Worker:
    """Let a worker act, after a person compared its fingerprint; a click on a stale page confirms no other key."""
    require(actor, Action.CONFIRM_WORKER, worker.organisation)
    row = _locked(worker)
    if row.fingerprint != fingerprint:
        raise AppError(
            "CL-1417", "The worker's fingerprint has changed since you compared it. Reload the page and compare again."
        )
    row.confirmed_by, row.confirmed_at = actor, timezone.now()
    _move(worker=row, to=WorkerState.ACTIVE, allowed=(WorkerState.PENDING,))
    _audit(actor=actor, action="worker.confirmed", worker=row, fingerprint=row.fingerprint)
    wake_worker(row.id, "confirmed")
    return row


@service
def worker_quarantine(*, actor: User, worker: Worker) -> Worker:
    """Suspend a worker: its socket is closed, its calls are refused, and its live runs held until it is released."""
    require(actor, Action.REVOKE_WORKER, worker.organisation)
    runs_hold(worker)
    row = _locked(worker)
    _move(worker=row, to=WorkerState.QUARANTINED, allowed=(WorkerState.ACTIVE, WorkerState.PENDING))
    _audit(actor=actor, action="worker.quarantined", worker=row)
    close_worker(row.id)
    return row


@service
def worker_release(*, actor: User, worker: Worker) -> Worker:
    """Lift a quarantine: its runs go on. A worker that was never confirmed waits for that again."""
    require(actor, Action.REVOKE_WORKER, worker.organisation)
    runs_lock(worker)
    row = _locked(worker)
    to = WorkerState.ACTIVE if row.confirmed_at else WorkerState.PENDING
    _move(worker=row, to=to, allowed=(WorkerState.QUARANTINED,))
    runs_let_go(row, detail=f"{actor} released {row.name} of {row.organisation.name}.")
    _audit(actor=actor, action="worker.released", worker=row)
    return row


@service
def worker_revoke(*, actor: User, worker: Worker) -> Worker:
    """Shut a worker out for good: from the commit on its calls are refused, and its socket is closed."""
    require(actor, Action.REVOKE_WORKER, worker.organisation)
    runs_lock(worker)
    _return_runs_of(actor, worker, "was revoked")
    row = _locked(worker)
    if row.state == WorkerState.REVOKED:
        return row
    _move(
        worker=row,
        to=WorkerState.REVOKED,
        allowed=(WorkerState.PENDING, WorkerState.ACTIVE, WorkerState.QUARANTINED, WorkerState.LEFT),
    )
    _audit(actor=actor, action="worker.revoked", worker=row)
    worker_shut_out(worker=row)
    close_worker(row.id)
    return row


@service
def worker_copied(*, worker: Worker) -> bool:
    """Two connections with this worker's key speak at once: tell the organisation, and both copies. Whether it is news.

    Which of them is the copy cannot be told from here; a person at the site can, and a new key shuts the other one out.
    """
    row = _locked(worker)
    now = timezone.now()
    if row.copied_at is not None and now - row.copied_at < COPY_TOLD_EVERY:
        return False
    row.copied_at = now
    row.save(update_fields=["copied_at", "updated_at"])
    wake_worker(row.id, WAKE_COPY)
    notify_org(row.organisation_id, "worker", row.id)
    _audit(actor=row, action="worker.copied", worker=row)
    return True


@service
def worker_leave(*, worker: Worker) -> Worker:
    """The worker ends its enrolment itself."""
    runs_lock(worker)
    _return_runs_of(worker, worker, "has left the hub")
    row = _locked(worker)
    if row.state == WorkerState.LEFT:
        return row
    _move(
        worker=row,
        to=WorkerState.LEFT,
        allowed=(WorkerState.PENDING, WorkerState.ACTIVE, WorkerState.QUARANTINED),
    )
    _audit(actor=row, action="worker.left", worker=row)
    worker_shut_out(worker=row)
    close_worker(row.id)
    return row


def worker_rename(*, actor: User, worker: Worker, name: str, labels: list[str]) -> Worker:
    """Give a worker another name and other labels."""
    require(actor, Action.ENROL_WORKER, worker.organisation)
    try:
        return _rename(actor, worker, name, labels)
    except IntegrityError as error:
        raise AppError("CL-1416", f"A worker named {name} already exists.") from error


@service
def _rename(actor: User, worker: Worker, name: str, labels: list[str]) -> Worker:
    row = _locked(worker)
    if name != row.name:
        name_free(organisation=row.organisation, name=name, own=row.pk)
    _audit(actor=actor, action="worker.renamed", worker=row, new_name=name)
    row.name, row.labels = name, labels
    row.save(update_fields=["name", "labels", "updated_at"])
    notify_org(row.organisation_id, "worker", row.id)
    return row


def worker_key_change(*, worker: Worker, request: RotateRequest) -> Worker:
    """Replace a worker's certificate as it asks, once the new key has signed that it is this worker's next.

    Raises CL-1408: also for a worker of an older version, which sends no such proof.
    """
    certificate = certificate_parse(request.certificate_pem)
    message = rotation_input(worker.id, worker.fingerprint, certificate.fingerprint)
    if not proof_holds(pem=certificate.pem, proof=request.proof, message=message):
        raise AppError(
            "CL-1408",
            "The request isn't signed with the new certificate's key.",
            "Install the hub's version on the worker, then run `cutlayer worker rotate-key` again.",
        )
    return worker_rotate(worker=worker, certificate_pem=certificate.pem)


def worker_rotate(*, worker: Worker, certificate_pem: str) -> Worker:
    """Replace the certificate. The request was signed with the current key, so the state stays as it is.

    Contracts name fingerprints: those approved before go on being valid for the old one only, as they should.
    """
    certificate = certificate_parse(certificate_pem)
    try:
        return _rotate(worker, certificate)
    except IntegrityError as error:
        raise AppError("CL-1408", "A worker with this certificate is already enrolled.") from error


@service
def _rotate(worker: Worker, certificate: WorkerCertificate) -> Worker:
    row = _locked(worker)
    if row.fingerprint == certificate.fingerprint:
        return row
    if fingerprint_is_used(certificate.fingerprint):
        raise AppError("CL-1408", "This certificate is or was used by another worker.")
    _audit(actor=row, action="worker.key_rotated", worker=row, fingerprint=certificate.fingerprint)
    row.certificate_pem, row.fingerprint = certificate.pem, certificate.fingerprint
    row.copied_at = None  # a copy has the old key, which opens nothing any more
    row.save(update_fields=["certificate_pem", "fingerprint", "copied_at", "updated_at"])
    close_worker(row.id, spared=row.fingerprint)
    notify_org(row.organisation_id, "worker", row.id)
    return row


@service
def worker_model_register(*, worker: Worker, registration: ModelRegistration) -> WorkerModel:
    """Note a base model that the worker has mapped and verified; the same again changes nothing."""
    known = WorkerModel.objects.filter(worker=worker)
    alike = known.filter(model_id=registration.model_id, manifest_hash=registration.manifest_hash)
    if known.count() >= MODELS and not alike.exists():
        raise AppError("CL-1459", f"The worker {worker.name} already has {MODELS} base models.")
    row, _ = WorkerModel.objects.update_or_create(
        worker=worker,
        model_id=registration.model_id,
        manifest_hash=registration.manifest_hash,
        defaults={
            "revision": registration.revision,
            "config": registration.config,
            "shape": registration.shape.model_dump(mode="json") if registration.shape else None,
            "parameters": registration.parameters,
            "bytes": registration.bytes,
        },
    )
    notify_org(worker.organisation_id, "worker", worker.id)
    return row
