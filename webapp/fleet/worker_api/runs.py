"""Worker API: a worker's part in runs. Whatever is not its own does not exist for it (CL-1404)."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.audit.witness import chain_head
from webapp.core.streaming import file_response
from webapp.fleet.signing import ENROLLED, WorkerRequest, signed_by_worker
from webapp.fleet.worker_api.bodies import answer, message_from, message_read
from webapp.runs import lifecycle
from webapp.runs.finishing.handing_out import adapter_for_worker
from webapp.runs.finishing.uploads import segment_store, tokenizer_store
from webapp.runs.kinds.checks import adapter_verified
from webapp.runs.lifecycle.reporting import batch_store
from workers.contracts import (
    Assignments,
    Claim,
    PolicyVerdict,
    Ready,
    SegmentUpload,
    TelemetryBatch,
    VerifyReport,
    exit_form,
)

_CHUNK_BYTES = 1 << 20


@signed_by_worker(states=ENROLLED)
@require_GET
def assignments(request: WorkerRequest) -> HttpResponse:
    """Everything that the worker has to do now; nothing before it is confirmed."""
    if request.worker.state != "active":
        return answer(request, Assignments(assignments=[], hub_time=timezone.now(), chain=chain_head()))
    parts, settled = lifecycle.assignments_for(request.worker), lifecycle.settled_for(request.worker)
    return answer(request, Assignments(assignments=parts, settled=settled, hub_time=timezone.now(), chain=chain_head()))


@signed_by_worker()
@require_POST
def verdict(request: WorkerRequest, run_id: str) -> HttpResponse:
    """What the site's own policy says about a contract."""
    message = message_read(PolicyVerdict, request.signed_body, reads=request.reads)
    lifecycle.verdict_record(worker=request.worker, run_id=run_id, verdict=message)
    return answer(request)


@signed_by_worker()
@require_POST
def claim(request: WorkerRequest, run_id: str) -> HttpResponse:
    """A job takes its part and gets the attempt number that is its fence."""
    message = message_read(Claim, request.signed_body, reads=request.reads)
    return answer(request, lifecycle.participant_claim(worker=request.worker, run_id=run_id, claim=message))


@signed_by_worker()
@require_POST
def ready(request: WorkerRequest, run_id: str) -> HttpResponse:
    """A server half listens."""
    message = message_read(Ready, request.signed_body, reads=request.reads)
    lifecycle.server_ready(worker=request.worker, run_id=run_id, ready=message)
    return answer(request)


@signed_by_worker()
@require_POST
def telemetry(request: WorkerRequest, run_id: str) -> HttpResponse:
    """A batch of numbered records."""
    message = message_read(TelemetryBatch, request.signed_body, reads=request.reads)
    return answer(request, batch_store(worker=request.worker, run_id=run_id, batch=message))


@signed_by_worker()
@require_POST
def ended(request: WorkerRequest, run_id: str) -> HttpResponse:
    """A job's process is gone."""
    message = message_read(exit_form(request.signed_body), request.signed_body, reads=request.reads)
    lifecycle.participant_exit(worker=request.worker, run_id=run_id, exit_=message)
    return answer(request)


@signed_by_worker()
@require_POST
def verified(request: WorkerRequest, run_id: str) -> HttpResponse:
    """The checks and the evaluation of a joined adapter."""
    message = message_read(VerifyReport, request.signed_body, reads=request.reads)
    adapter_verified(worker=request.worker, run_id=run_id, report=message)
    return answer(request)


@signed_by_worker(announced=True)
@require_http_methods(["PUT"])
def segment(request: WorkerRequest, run_id: str, name: str) -> HttpResponse:
    """An adapter segment: the stream must have the SHA-256 that the signature covers."""
    upload, chunks = _upload(request)
    segment_store(worker=request.worker, run_id=run_id, name=name, upload=upload, stream=chunks)
    return answer(request)


@signed_by_worker(announced=True)
@require_http_methods(["PUT"])
def tokenizer(request: WorkerRequest, run_id: str, name: str) -> HttpResponse:
    """The base model's manifest, and then the tokenizer files that it pins."""
    upload, chunks = _upload(request)
    tokenizer_store(worker=request.worker, run_id=run_id, name=name, upload=upload, stream=chunks)
    return answer(request)


def _upload(request: WorkerRequest) -> tuple[SegmentUpload, Iterator[bytes]]:
    upload = message_from(SegmentUpload, {key: request.GET[key] for key in request.GET})
    return upload, iter(lambda: request.read(_CHUNK_BYTES), b"")


@signed_by_worker()
@require_GET
def adapter_archive(request: WorkerRequest, run_id: str, adapter_id: str) -> HttpResponseBase:
    """The zip of a joined adapter, for a worker that has to load or evaluate it."""
    path = adapter_for_worker(
        worker=request.worker,
        run_id=run_id,
        adapter_id=adapter_id,
        participant_id=request.GET.get("participant_id", ""),
    )
    return file_response(path, content_type="application/zip", filename="adapter.zip")
