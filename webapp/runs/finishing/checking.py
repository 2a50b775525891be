"""Load checks and evaluations of a joined adapter, as the workers report them."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.utils import timezone

from splitcore.errors import AppError
from webapp.adapters.models import Adapter, AdapterState
from webapp.audit.services import audit_record
from webapp.core.live import wake_worker
from webapp.core.queueing import enqueue_on_commit
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.runs.life.apply import run_apply, run_expect
from webapp.runs.life.effects import PACKAGE
from webapp.runs.life.events import Happening
from webapp.runs.life.failing import failure
from webapp.runs.lifecycle.access import part_lock
from webapp.runs.lifecycle.assignments import checkers, may_report, pending_adapters
from webapp.runs.models import Participant, Run
from webapp.runs.timeline import error_info, run_announce, timeline_event
from workers.contracts import Check, EvaluationResult, HubEvent, VerifyReport

_DIGITS = 4


def checks_open(run: Run) -> bool:
    """Whether a worker still has to load or evaluate an adapter of the run."""
    return any(any(True for _ in pending_adapters(row)) for row in checkers(run))


@service
def adapter_verified(*, worker: Worker, run_id: str, report: VerifyReport) -> Adapter:
    """Store one worker's report. The first complete load makes the adapter ready; a failed check fails it."""
    run, participant = part_lock(worker, run_id, report.participant_id)
    adapter = run.adapters.select_for_update(no_key=True).filter(pk=report.adapter_id).first()
    if adapter is None or not may_report(participant, adapter):
        raise Http404("No adapter that this part loads.")
    if report.adapter_sha256 != adapter.sha256:
        raise AppError("CL-1702", "The report is about a different file than the joined adapter.")
    waits = adapter.state in (AdapterState.JOINED, AdapterState.READY)
    if participant.id in adapter.reports or not waits or not run_expect(run, Happening.ADAPTER_CHECKED):
        return adapter
    checks = _checks_of(report)
    _store(adapter, participant, report.evaluation, [check.model_dump() for check in checks])
    failed = [check for check in checks if check.status == "failed"]
    if failed or not checks:
        _fail(run, adapter, participant, failed[0].detail or failed[0].name if failed else "No checks were run.")
    else:
        _accept(run, adapter, participant, worker)
    run_announce(run)
    return adapter


def _checks_of(report: VerifyReport) -> list[Check]:
    """The report's checks; a loss that is not available is a failed one, whatever the worker made of it."""
    if report.evaluation is None or report.evaluation.loss is not None:
        return report.checks
    detail = "The adapter's loss on the held-out rows is not finite."
    return [*report.checks, Check(name="Evaluation", status="failed", detail=detail, code="CL-1703")]


def _rounded(result: EvaluationResult) -> dict[str, Any]:
    """The figures to four digits: enough to compare adapters, too few to tell rows apart."""
    figures = result.model_dump()
    return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in figures.items()}


def _store(
    adapter: Adapter, participant: Participant, evaluation: EvaluationResult | None, checks: list[dict[str, Any]]
) -> None:
    adapter.reports = {
        **adapter.reports,
        participant.id: {
            "party": participant.party,
            "worker": participant.worker.name,
            "checks": checks,
            "at": timezone.now().isoformat(),
        },
    }
    if evaluation is not None and participant.dataset_version_id:
        adapter.evaluation = {**adapter.evaluation, participant.party: _rounded(evaluation)}
    adapter.checks = adapter.checks or checks
    adapter.save(update_fields=["reports", "evaluation", "checks", "updated_at"])


def _fail(run: Run, adapter: Adapter, participant: Participant, why: str) -> None:
    adapter.state = AdapterState.FAILED
    adapter.save(update_fields=["state", "updated_at"])
    error = error_info("CL-1703", f"{participant.worker.name} could not load the joined adapter: {why}"[:600])
    run_apply(run, failure(run, Happening.CHECK_FAILED, error, participant=participant, phase="verifying"))


def _accept(run: Run, adapter: Adapter, participant: Participant, worker: Worker) -> None:
    if adapter.state == AdapterState.JOINED:
        adapter.state, adapter.verified_at = AdapterState.READY, timezone.now()
        adapter.save(update_fields=["state", "verified_at", "updated_at"])
        audit_record(
            actor=worker,
            action="adapter.verified",
            organisation_id=worker.organisation_id,
            project_id=run.project_id,
            object_id=adapter.id,
            details={"sha256": adapter.sha256},
        )
    timeline_event(
        run,
        HubEvent.ADAPTER_VERIFIED,
        f"{worker.name} loaded the adapter. Every check passed.",
        participant=participant,
    )
    if checks_open(run):
        wake_worker(worker.id, "check")  # with one adapter a party, an evaluator goes on to the next
        return
    enqueue_on_commit(PACKAGE, run.id)
