"""Joining a finishing run's segments, and asking the workers to load what came of it."""

from __future__ import annotations

from splitcore.config import RunConfig
from splitcore.errors import AppError
from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.services.joining import adapter_build, segment_groups
from webapp.audit.services import audit_record
from webapp.core.live import wake_worker
from webapp.core.transactions import service
from webapp.runs.kinds.checks import checks_request
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Happening
from webapp.runs.life.failing import failure
from webapp.runs.locking import run_lock
from webapp.runs.models import Run, RunState
from webapp.runs.timeline import error_info, timeline_event
from workers.contracts import HubEvent


def adapter_join(run_id: str) -> None:
    """Join a finishing run's segments and ask the recipients' workers to load the result. Safe to repeat."""
    run = Run.objects.filter(pk=run_id, state=RunState.FINISHING).first()
    if run is None or run.adapters.exclude(state=AdapterState.COLLECTING).exists():
        return
    config = RunConfig.parse(run.config)
    try:
        for party, segments in segment_groups(run, config).items():
            adapter, _ = Adapter.objects.get_or_create(run=run, party=party)
            adapter_build(run, config, adapter, segments)
    except AppError as error:
        _fail(run_id, error)
        return
    _announce(run_id)


@service
def _fail(run_id: str, error: AppError) -> None:
    run, told = run_lock(run_id), error_info(error.code, error.message, error.remedy)
    run_apply(run, failure(run, Happening.JOIN_FAILED, told, phase="joining"))


@service
def _announce(run_id: str) -> None:
    run = run_lock(run_id)
    if run.state != RunState.FINISHING:
        return
    run.adapters.filter(state=AdapterState.COLLECTING).update(state=AdapterState.JOINED)
    checks_request(run)
    timeline_event(
        run, HubEvent.ADAPTER_JOINED, "The segments are joined. Recipients' workers are loading the adapter."
    )
    audit_record(actor=None, action="adapter.joined", project_id=run.project_id, object_id=run.id)
    for worker_id in set(run.participants.values_list("worker_id", flat=True)):
        wake_worker(worker_id, "check")
