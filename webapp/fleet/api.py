"""REST operations of `fleet`."""

from __future__ import annotations

from ninja import Router

from webapp.accounts.api_auth import READ_AUTH, ApiRequest, TokenAuth
from webapp.accounts.scopes import Scope
from webapp.fleet.enrolment import enrolment_token_create, enrolment_token_revoke
from webapp.fleet.schemas import EnrolmentTokenIn, EnrolmentTokenOut, FingerprintIn, WorkerOut
from webapp.fleet.selectors import (
    enrolment_token_get_for,
    enrolment_tokens_visible_to,
    worker_get_for,
    workers_visible_to,
)
from webapp.fleet.services import worker_confirm, worker_quarantine, worker_release, worker_revoke
from webapp.fleet.views.enrolment import join_command

router = Router(tags=["workers"])


@router.get("", auth=READ_AUTH, response=list[WorkerOut])
def list_workers(request: ApiRequest) -> list[WorkerOut]:
    """The organisation's workers."""
    return [WorkerOut.of(worker) for worker in workers_visible_to(request.user).prefetch_related("models")]


@router.get("/enrolment-tokens", auth=READ_AUTH, response=list[EnrolmentTokenOut])
def list_enrolment_tokens(request: ApiRequest) -> list[EnrolmentTokenOut]:
    """The enrolment tokens, without their secrets."""
    return [EnrolmentTokenOut.of(row) for row in enrolment_tokens_visible_to(request.user)[:100]]


@router.post("/enrolment-tokens", auth=TokenAuth(Scope.ADMIN), response={201: EnrolmentTokenOut})
def create_enrolment_token(request: ApiRequest, payload: EnrolmentTokenIn) -> tuple[int, EnrolmentTokenOut]:
    """A token for one worker. Its secret is in this answer alone, so no Idempotency-Key can bring it back."""
    made = enrolment_token_create(
        actor=request.user,
        organisation=request.organisation,
        worker_name=payload.name,
        kind=payload.kind,
        labels=[label[:30] for label in payload.labels],
    )
    command = join_command(request, made.secret, made.row.kind)
    return 201, EnrolmentTokenOut.of(made.row, token=made.secret, command=command)


@router.post("/enrolment-tokens/{pub:token_id}/revoke", auth=TokenAuth(Scope.ADMIN), response=EnrolmentTokenOut)
def revoke_enrolment_token(request: ApiRequest, token_id: str) -> EnrolmentTokenOut:
    """Withdraw a token that was not used."""
    token = enrolment_token_get_for(user=request.user, token_id=token_id)
    return EnrolmentTokenOut.of(enrolment_token_revoke(actor=request.user, token=token))


@router.get("/{pub:worker_id}", auth=READ_AUTH, response=WorkerOut)
def get_worker(request: ApiRequest, worker_id: str) -> WorkerOut:
    """One worker."""
    return WorkerOut.of(worker_get_for(user=request.user, worker_id=worker_id))


@router.post("/{pub:worker_id}/confirm", auth=TokenAuth(Scope.ADMIN), response=WorkerOut)
def confirm_worker(request: ApiRequest, worker_id: str, payload: FingerprintIn) -> WorkerOut:
    """Confirm the fingerprint that was compared."""
    worker = worker_get_for(user=request.user, worker_id=worker_id)
    return WorkerOut.of(worker_confirm(actor=request.user, worker=worker, fingerprint=payload.fingerprint))


@router.post("/{pub:worker_id}/quarantine", auth=TokenAuth(Scope.ADMIN), response=WorkerOut)
def quarantine_worker(request: ApiRequest, worker_id: str) -> WorkerOut:
    """Suspend a worker."""
    worker = worker_get_for(user=request.user, worker_id=worker_id)
    return WorkerOut.of(worker_quarantine(actor=request.user, worker=worker))


@router.post("/{pub:worker_id}/release", auth=TokenAuth(Scope.ADMIN), response=WorkerOut)
def release_worker(request: ApiRequest, worker_id: str) -> WorkerOut:
    """Lift a quarantine."""
    worker = worker_get_for(user=request.user, worker_id=worker_id)
    return WorkerOut.of(worker_release(actor=request.user, worker=worker))


@router.post("/{pub:worker_id}/revoke", auth=TokenAuth(Scope.ADMIN), response=WorkerOut)
def revoke_worker(request: ApiRequest, worker_id: str) -> WorkerOut:
    """Shut a worker out for good."""
    worker = worker_get_for(user=request.user, worker_id=worker_id)
    return WorkerOut.of(worker_revoke(actor=request.user, worker=worker))
