"""Worker API: joining, changing the key, leaving, what a worker registers, and what it found of the audit chain."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from splitcore.errors import AppError
from webapp.audit.disputes import witness_report
from webapp.core.throttle import client_address, throttle_check, throttle_count
from webapp.datasets.services import dataset_register
from webapp.fleet.enrolment import enrol_reply, worker_enrol
from webapp.fleet.model_config import model_check
from webapp.fleet.services import worker_key_change, worker_leave, worker_model_register
from webapp.fleet.signing import ENROLLED, WorkerRequest, body_read, signed_by_worker
from webapp.fleet.worker_api.bodies import answer, message_read, size_check
from workers.contracts import (
    HEADER_PROTOCOL,
    DatasetMetadata,
    EnrolRequest,
    ModelRegistration,
    RotateRequest,
    WitnessReport,
)

GUESSES_A_MINUTE = 10
_BUCKET = "enrolment-token"
_MODEL_PART_MAX_BYTES = 64 * 1024


@csrf_exempt
@require_POST
def enrol(request: HttpRequest) -> HttpResponse:
    """Redeem a token: the one call without a signature."""
    message = message_read(EnrolRequest, body_read(request), reads=request.headers.get(HEADER_PROTOCOL))
    try:
        worker = worker_enrol(request=message)
    except AppError as error:
        if error.code == "CL-1401":
            throttle_check(_BUCKET, client_address(request), GUESSES_A_MINUTE)
            throttle_count(_BUCKET, client_address(request))
        raise
    return answer(request, enrol_reply(worker=worker))


@signed_by_worker(states=ENROLLED)
@require_POST
def rotate(request: WorkerRequest) -> HttpResponse:
    """Put the worker's next certificate in force."""
    message = message_read(RotateRequest, request.signed_body, reads=request.reads)
    return answer(request, enrol_reply(worker=worker_key_change(worker=request.worker, request=message)))


@signed_by_worker(states=(*ENROLLED, "quarantined"))
@require_POST
def leave(request: WorkerRequest) -> HttpResponse:
    """End the enrolment."""
    worker_leave(worker=request.worker)
    return answer(request)


@signed_by_worker()
@require_POST
def datasets(request: WorkerRequest) -> HttpResponse:
    """Register the metadata of a dataset version, as a person at the site confirmed it."""
    dataset_register(
        worker=request.worker, metadata=message_read(DatasetMetadata, request.signed_body, reads=request.reads)
    )
    return answer(request)


@signed_by_worker()
@require_POST
def models(request: WorkerRequest) -> HttpResponse:
    """Register a base model that the worker has mapped and verified."""
    registration = message_read(ModelRegistration, request.signed_body, reads=request.reads)
    for field in ("config", "shape"):
        size_check(getattr(registration, field), limit=_MODEL_PART_MAX_BYTES, field=field)
    model_check(registration)
    worker_model_register(worker=request.worker, registration=registration)
    return answer(request)


@signed_by_worker(states=ENROLLED)
@require_POST
def witness(request: WorkerRequest) -> HttpResponse:
    """Keep what the worker found of the audit chain."""
    witness_report(worker=request.worker, report=message_read(WitnessReport, request.signed_body, reads=request.reads))
    return answer(request)
