"""REST operations of `runs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router

from splitcore.bounds import SMALL_MAX, Word
from splitcore.config import RunConfig
from splitcore.errors import AppError
from webapp.accounts.api_auth import READ_AUTH, Principal, TokenAuth
from webapp.accounts.scopes import Scope
from webapp.adapters.views import archive_response, file_name
from webapp.core.idempotency import idempotent
from webapp.core.transactions import service
from webapp.orgs.models import Organisation
from webapp.orgs.selectors import organisations_of
from webapp.projects.models import Project
from webapp.projects.selectors import project_get_for
from webapp.runs.configure.estimating import estimate_of
from webapp.runs.finishing.handing_out import adapter_download, no_adapter
from webapp.runs.models import Run
from webapp.runs.offers import PartiesOut
from webapp.runs.schemas import (
    AuditIn,
    AuditOut,
    DecisionIn,
    EstimateIn,
    PartyIn,
    ReasonIn,
    RunChange,
    RunDetail,
    RunIn,
    RunOut,
    RunPage,
)
from webapp.runs.selectors import run_get_for, runs_visible_to, visible_parents
from webapp.runs.selectors.audits import audited_parts, leakage_audit
from webapp.runs.services import (
    Basis,
    PartyChoice,
    approval_decide,
    audit_cancel,
    audit_request,
    run_archive,
    run_clone,
    run_draft_save,
    run_pause,
    run_resume,
    run_start,
    run_stop,
    run_submit,
)

router = Router(tags=["runs"])
WRITE, CONTROL = TokenAuth(Scope.RUNS_WRITE), TokenAuth(Scope.RUNS_CONTROL)


def _caller(request: HttpRequest) -> Principal:
    return request.auth  # type: ignore[attr-defined]


def _run(request: HttpRequest, run_id: str) -> Run:
    return run_get_for(user=_caller(request).user, run_id=run_id)


def _organisation(caller: Principal, organisation_id: str) -> Organisation:
    """The caller's organisation; another one only where the caller belongs to it (as far as the token reaches)."""
    if not organisation_id or organisation_id == caller.organisation.id:
        return caller.organisation
    found = organisations_of(caller.user).filter(id=organisation_id).first()
    if found is None:
        raise AppError("CL-1601", "The token belongs to another organisation.", "Create a token in that organisation.")
    return found


def _config(config: dict[str, Any] | None, text: str) -> dict[str, Any]:
    if text:
        return RunConfig.from_yaml(text).model_dump(mode="json", exclude_defaults=True)
    return config or {}


def _parties(parties: list[PartyIn]) -> list[PartyChoice]:
    return [PartyChoice(p.role, p.worker, p.dataset_version, p.receives_adapter) for p in parties]


@router.get("", auth=READ_AUTH, response=RunPage)
def list_runs(
    request: HttpRequest,
    project: Word = "",
    state: Word = "",
    archived: bool = False,
    limit: int = Query(50, ge=1, le=200),
    offset: int = Query(0, ge=0, le=SMALL_MAX),
) -> RunPage:
    """Runs that the token's organisation can see, newest first."""
    runs = runs_visible_to(_caller(request).user).filter(is_archived=archived)
    if project:
        runs = runs.filter(project_id=project)
    if state:
        runs = runs.filter(state=state)
    page = list(runs[offset : offset + limit])
    parents = visible_parents(_caller(request).user, page)
    return RunPage(items=[RunOut(**RunOut.fields_of(run, parents)) for run in page], count=runs.count())


@router.post("", auth=WRITE, response={201: RunDetail})
@idempotent
def create_run(request: HttpRequest, payload: RunIn) -> tuple[int, RunDetail]:
    """A new draft, submitted at once with `submit`. What is wrong is refused before anything is stored."""
    caller = _caller(request)
    project = project_get_for(user=caller.user, project_id=payload.project)
    config = _config(payload.config, payload.config_yaml)
    RunConfig.parse(config)
    return 201, RunDetail.of(_draft_and_submit(caller, project, config, payload), caller.user)


@service
def _draft_and_submit(caller: Principal, project: Project, config: dict[str, Any], payload: RunIn) -> Run:
    run = run_draft_save(
        actor=caller.user,
        project=project,
        organisation=_organisation(caller, payload.organisation),
        name=payload.name,
        note=payload.note,
        config=config,
        parties=_parties(payload.parties),
        public_prompts=payload.public_prompts,
        start_when_approved=payload.start_when_approved,
    )
    return run_submit(actor=caller.user, run=run) if payload.submit else run


@router.post("/estimate", auth=READ_AUTH[0])
def estimate_run(request: HttpRequest, payload: EstimateIn) -> dict[str, Any]:
    """Memory by role, bytes and time per step, adapter size, and what is missing. Nothing is stored."""
    project = project_get_for(user=_caller(request).user, project_id=payload.project)
    return estimate_of(project, _config(payload.config, payload.config_yaml), _parties(payload.parties))


@router.get("/parties", auth=READ_AUTH, response=PartiesOut)
def list_parties(request: HttpRequest, project: Word) -> PartiesOut:
    """Who can take part in a run of `project`: offered datasets, compute workers, base models; with their ids."""
    return PartiesOut.of(project_get_for(user=_caller(request).user, project_id=project))


@router.get("/{pub:run_id}", auth=READ_AUTH, response=RunDetail)
def get_run(request: HttpRequest, run_id: str) -> RunDetail:
    """One run with its configuration, contract, parties and approvals."""
    return RunDetail.of(_run(request, run_id), _caller(request).user)


@router.patch("/{pub:run_id}", auth=WRITE, response=RunDetail)
def change_run(request: HttpRequest, run_id: str, payload: RunChange) -> RunDetail:
    """Change a run that has not started; its approvals are void then. With `version`, others' changes are kept."""
    run = _run(request, run_id)
    version = run.draft_version if payload.version is None else payload.version
    changes_config = payload.config is not None or bool(payload.config_yaml)
    config = _config(payload.config, payload.config_yaml) if changes_config else run.config
    RunConfig.parse(config)
    changed = run_draft_save(
        actor=_caller(request).user,
        project=run.project,
        organisation=run.organisation,
        run=run,
        name=run.name if payload.name is None else payload.name,
        note=run.note if payload.note is None else payload.note,
        config=config,
        parties=None if payload.parties is None else _parties(payload.parties),
        public_prompts=payload.public_prompts,
        start_when_approved=run.start_when_approved
        if payload.start_when_approved is None
        else payload.start_when_approved,
        basis=Basis(version=version),
    )
    return RunDetail.of(changed, _caller(request).user)


@router.post("/{pub:run_id}/submit", auth=WRITE, response=RunDetail)
@idempotent
def submit_run(request: HttpRequest, run_id: str) -> RunDetail:
    """Freeze the contract and ask every organisation for its approval."""
    user = _caller(request).user
    return RunDetail.of(run_submit(actor=user, run=_run(request, run_id)), user)


def _decide(request: HttpRequest, run_id: str, payload: DecisionIn, approve: bool) -> RunDetail:
    caller, run = _caller(request), _run(request, run_id)
    approval_decide(
        actor=caller.user,
        run=run,
        organisation=_organisation(caller, payload.organisation),
        approve=approve,
        contract_hash=payload.contract_hash,
        reason=payload.reason,
    )
    return RunDetail.of(_run(request, run_id), _caller(request).user)


@router.post("/{pub:run_id}/approve", auth=CONTROL, response=RunDetail)
@idempotent
def approve_run(request: HttpRequest, run_id: str, payload: DecisionIn) -> RunDetail:
    """Approve exactly this contract for the token's organisation."""
    return _decide(request, run_id, payload, approve=True)


@router.post("/{pub:run_id}/decline", auth=CONTROL, response=RunDetail)
@idempotent
def decline_run(request: HttpRequest, run_id: str, payload: DecisionIn) -> RunDetail:
    """Decline this contract, with a reason."""
    return _decide(request, run_id, payload, approve=False)


def _control(request: HttpRequest, run_id: str, service: Callable[..., Run], **more: Any) -> RunDetail:
    user = _caller(request).user
    return RunDetail.of(service(actor=user, run=_run(request, run_id), **more), user)


@router.post("/{pub:run_id}/start", auth=CONTROL, response=RunDetail)
@idempotent
def start_run(request: HttpRequest, run_id: str) -> RunDetail:
    """Start an approved run."""
    return _control(request, run_id, run_start)


@router.post("/{pub:run_id}/stop", auth=CONTROL, response=RunDetail)
@idempotent
def stop_run(request: HttpRequest, run_id: str, payload: ReasonIn | None = None) -> RunDetail:
    """Ask every worker to stop; the run is stopped when each has confirmed it."""
    return _control(request, run_id, run_stop, reason=payload.reason if payload else "")


@router.post("/{pub:run_id}/pause", auth=CONTROL, response=RunDetail)
@idempotent
def pause_run(request: HttpRequest, run_id: str) -> RunDetail:
    """Hold after the current step."""
    return _control(request, run_id, run_pause)


@router.post("/{pub:run_id}/resume", auth=CONTROL, response=RunDetail)
@idempotent
def resume_run(request: HttpRequest, run_id: str) -> RunDetail:
    """Let a paused run go on."""
    return _control(request, run_id, run_resume)


@router.get("/{pub:run_id}/audits", auth=READ_AUTH, response=list[AuditOut])
def list_audits(request: HttpRequest, run_id: str) -> list[AuditOut]:
    """What leakage audits of the own organisation's parts found, the newest of each first."""
    own = audited_parts(_caller(request).user, _run(request, run_id))
    return [AuditOut.of(one.part, audit) for one in own for audit in one.audits]


@router.post("/{pub:run_id}/audits", auth=CONTROL, response={202: AuditOut})
@idempotent
def start_audit(request: HttpRequest, run_id: str, payload: AuditIn) -> tuple[int, AuditOut]:
    """Measure on the own worker what its rows leak in this run. One at a time: another one is the one under way."""
    user, run = _caller(request).user, _run(request, run_id)
    own = [one.part for one in audited_parts(user, run) if payload.participant in ("", one.part.id)]
    if len(own) != 1:
        raise AppError("CL-1555", "Name one part of your organisation that trains on its own rows.")
    job = audit_request(actor=user, part=own[0], size=payload.size)
    return 202, AuditOut.of(own[0], leakage_audit(job))


@router.post("/{pub:run_id}/audits/{subject}/cancel", auth=CONTROL, response=AuditOut)
@idempotent
def cancel_audit(request: HttpRequest, run_id: str, subject: str) -> AuditOut:
    """End an audit before its end; its worker deletes what it recorded for it."""
    user, run = _caller(request).user, _run(request, run_id)
    for own in audited_parts(user, run):
        if any(audit.job.subject == subject for audit in own.audits):
            return AuditOut.of(own.part, leakage_audit(audit_cancel(actor=user, part=own.part, subject=subject)))
    raise AppError("CL-1557")


@router.post("/{pub:run_id}/archive", auth=WRITE, response=RunDetail)
def archive_run(request: HttpRequest, run_id: str, archived: bool = True) -> RunDetail:
    """Take an ended run out of the lists, or (`archived=false`) put it back."""
    return _control(request, run_id, run_archive, archived=archived)


@router.post("/{pub:run_id}/clone", auth=WRITE, response={201: RunDetail})
@idempotent
def clone_run(request: HttpRequest, run_id: str) -> tuple[int, RunDetail]:
    """A new draft with the same configuration and parties."""
    caller = _caller(request)
    new = run_clone(actor=caller.user, run=_run(request, run_id), organisation=caller.organisation)
    return 201, RunDetail.of(new, caller.user)


@router.get("/{pub:run_id}/adapter", auth=TokenAuth(Scope.ADAPTERS_DOWNLOAD))
def download_run_adapter(request: HttpRequest, run_id: str) -> StreamingHttpResponse:
    """The run's verified adapter as a zip; with one adapter a party, the token's organisation's own."""
    caller, run = _caller(request), _run(request, run_id)
    own = run.participants.filter(organisation=caller.organisation).values("party")
    adapters = run.adapters.select_related("run").order_by("party")
    adapter = adapters.filter(party="").first() or adapters.filter(party__in=own).first()
    if adapter is None:
        raise no_adapter(run)
    return archive_response(adapter_download(actor=caller.user, adapter=adapter), file_name(adapter))
