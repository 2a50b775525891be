"""`evaluate` and `verify`: a worker loads the joined adapter, and measures it where it holds rows.

They are requested when the segments are joined, of the parties with rows; of the compute worker only where none of them
is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import Http404
from django.utils import timezone

from splitcore.errors import AppError
from webapp.adapters.models import Adapter, AdapterState
from webapp.audit.services import audit_record
from webapp.core.live import wake_worker
from webapp.core.queueing import enqueue_on_commit
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.jobs.selectors import job_about, open_jobs, subjects_asked
from webapp.jobs.services import job_finish, job_request
from webapp.runs.fencing import part_lock
from webapp.runs.kinds.kind import HubKind, Offer
from webapp.runs.life.apply import run_apply, run_expect
from webapp.runs.life.effects import PACKAGE
from webapp.runs.life.events import Happening
from webapp.runs.life.failing import failure
from webapp.runs.models import Participant, ParticipantRole, Run, RunState
from webapp.runs.timeline import error_info, run_announce, timeline_event
from workers.contracts import API_PREFIX, Check, ErrorInfo, EvaluationResult, HubEvent, Message, Phase, VerifyReport

if TYPE_CHECKING:
    from webapp.jobs.models import Job

AWAY = timedelta(minutes=2)
_DIGITS = 4
_JOINED = (AdapterState.JOINED, AdapterState.READY)


class Verify(HubKind):
    """The adapter is loaded. It is wanted as long as no party with rows is there to do more."""

    name: ClassVar[str] = "verify"
    wanted_in: ClassVar[Collection[RunState]] = (RunState.FINISHING,)
    begins_in: ClassVar[Phase | None] = Phase.VERIFYING

    def is_wanted(self, part: Participant, parts: Iterable[Participant]) -> bool:
        """Whether a part of the run is the one to do it now; `parts` are all of them."""
        return part.role == ParticipantRole.SERVER and part.receives_adapter and not any(map(is_able, parts))

    def is_due(self, part: Participant) -> bool:
        """As the parties are there now."""
        return self.is_wanted(part, part.run.participants.all())

    def offer(self, part: Participant, job: Job) -> Offer | None:
        """The adapter, and where it is to be fetched."""
        adapter = part.run.adapters.filter(pk=job.subject, state__in=_JOINED).first()
        if adapter is None:
            return None
        url = f"{API_PREFIX}/runs/{part.run_id}/adapters/{adapter.id}?participant_id={part.id}"
        return Offer(told={"adapter_id": adapter.id, "adapter_sha256": adapter.sha256, "adapter_url": url})

    def finish(self, part: Participant, job: Job, told: Message) -> None:
        """The first complete load makes the adapter ready; a failed check fails it. Raises CL-1702."""
        assert isinstance(told, VerifyReport)
        run = part.run
        adapter = run.adapters.select_for_update(no_key=True).get(pk=job.subject)
        if told.adapter_sha256 != adapter.sha256:
            raise AppError("CL-1702", "The report is about a file other than the joined adapter.")
        if job.outcome or adapter.state not in _JOINED or not run_expect(run, Happening.ADAPTER_CHECKED):
            return
        checks = _checks_of(told)
        _store(adapter, part, told.evaluation, [check.model_dump() for check in checks])
        failed = [check for check in checks if check.status == "failed"]
        if failed or not checks:
            why = failed[0].detail or failed[0].name if failed else "No checks were run."
            error = error_info("CL-1703", f"{part.worker.name} could not load the joined adapter: {why}"[:600])
            job_finish(job, outcome="failed", error=error)
            _fail(run, adapter, part, error)
        else:
            job_finish(job, outcome="done")
            _accept(run, adapter, part)
        run_announce(run)


class Evaluate(Verify):
    """The adapter is loaded, and measured on the party's own held-out rows."""

    name: ClassVar[str] = "evaluate"

    def is_wanted(self, part: Participant, parts: Iterable[Participant]) -> bool:
        """A silent worker is waited for a while."""
        return is_able(part)


_CHECKS: dict[str, Verify] = {kind.name: kind for kind in (Evaluate(), Verify())}


def _has_rows(part: Participant) -> bool:
    return bool(part.dataset_version_id) and part.outcome in ("", "done")


def is_able(part: Participant) -> bool:
    """Whether a party with rows is there, or silent for no long time.

    That counts from when it was marked, so that an outage of the hub skips nobody.
    """
    return _has_rows(part) and not (part.phase == Phase.DROPPED and part.phase_since < timezone.now() - AWAY)


def _is_for(part: Participant, adapter: Adapter) -> bool:
    """A data party loads the run's adapter or its own; evaluators and the compute worker load any."""
    return not adapter.party or adapter.party == part.party or part.role != ParticipantRole.CLIENT


def checks_request(run: Run) -> list[Participant]:
    """Ask for the checks of a locked run's joined adapters, as the parties are there now. Safe to repeat.

    Returns whose check is waited for at that same moment: nobody is found away after the compute worker was not asked.
    """
    parts = list(run.participants.all())
    doers = _doers(parts)
    wanted = [(part, "evaluate") for part in parts if _has_rows(part)]
    wanted += [(part, "verify") for part in parts if part.id in doers["verify"]]
    asked = subjects_asked([part.id for part in parts], _CHECKS)
    for adapter in run.adapters.filter(state__in=_JOINED).order_by("party"):
        for part, kind in wanted:
            if _is_for(part, adapter) and (part.id, kind, adapter.id) not in asked:
                job_request(participant_id=part.id, kind=kind, subject=adapter.id)
    return _waited(run, parts, doers)


def _doers(parts: Collection[Participant]) -> dict[str, set[str]]:
    """The parts that are to do each kind of check now."""
    return {name: {part.id for part in parts if kind.is_wanted(part, parts)} for name, kind in _CHECKS.items()}


def _waited(run: Run, parts: Iterable[Participant], doers: dict[str, set[str]]) -> list[Participant]:
    joined = run.adapters.filter(state__in=_JOINED).values("id")
    jobs = open_jobs(_CHECKS).filter(participant__run=run, subject__in=joined)
    waited = {job.participant_id for job in jobs if job.participant_id in doers[job.kind]}
    return [part for part in parts if part.id in waited]


def checks_open(run: Run) -> bool:
    """Whether a worker still has to load or evaluate an adapter of the run."""
    parts = list(run.participants.all())
    return bool(_waited(run, parts, _doers(parts)))


def has_to_check(part: Participant, adapter_id: str) -> bool:
    """Whether a part is to load this adapter now."""
    job = job_about(part.id, _CHECKS, adapter_id)
    if job is None or job.outcome:
        return False
    kind = _CHECKS[job.kind]
    return kind.is_due(part) and kind.offer(part, job) is not None


@service
def adapter_verified(*, worker: Worker, run_id: str, report: VerifyReport) -> None:
    """Take one worker's report on an adapter that its part was asked about; any other does not exist for it."""
    _, part = part_lock(worker, run_id, report.participant_id)
    job = job_about(part.id, _CHECKS, report.adapter_id)
    if job is None:
        raise Http404("This part has no adapter to load.")
    _CHECKS[job.kind].finish(part, job, report)


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


def _fail(run: Run, adapter: Adapter, participant: Participant, error: ErrorInfo) -> None:
    adapter.state = AdapterState.FAILED
    adapter.save(update_fields=["state", "updated_at"])
    run_apply(run, failure(run, Happening.CHECK_FAILED, error, participant=participant, phase="verifying"))


def _accept(run: Run, adapter: Adapter, participant: Participant) -> None:
    worker = participant.worker
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
