"""From a draft to an approved contract."""

from __future__ import annotations

from django.utils import timezone

from splitcore.config import RunConfig, decided, override_problems
from splitcore.errors import AppError
from splitcore.planning import ModelShape, missing_targets
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from webapp.fleet.models import WorkerModel
from webapp.fleet.shared_models import shared_models, shared_shape, who_holds_which
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, require
from webapp.runs.availability import labels_check, parties_check, refusals_check
from webapp.runs.contract import contract_build, contract_hash, contract_text
from webapp.runs.estimate import model_layers, step_count
from webapp.runs.life.apply import run_apply, run_expect
from webapp.runs.life.events import Event, Happening
from webapp.runs.locking import run_lock
from webapp.runs.models import Approval, ApprovalState, Participant, ParticipantRole, Run
from webapp.runs.timeline import error_info, run_announce, timeline_event
from workers.contracts import HubEvent


def _pin_model(config: RunConfig, participants: list[Participant]) -> tuple[RunConfig, list[WorkerModel]]:
    """Pin the manifest and revision that all workers of the run share; raise CL-1005 naming who lacks or has which.

    Also the registrations of what was pinned.
    """
    name = config.model.name_or_path
    held = WorkerModel.objects.filter(worker_id__in=[p.worker_id for p in participants], model_id=name)
    rows = list(held.select_related("worker"))
    lacking = [p.worker.name for p in participants if p.worker_id not in {row.worker_id for row in rows}]
    if lacking:
        raise AppError("CL-1005", f"{name} isn't registered on {', '.join(lacking)}.")
    common = shared_models(rows, manifest=config.model.manifest, revision=config.model.revision)
    if not common:
        asked = f" at revision {config.model.revision}" if config.model.revision else ""
        raise AppError("CL-1005", f"The workers have different versions of {name}{asked}: {who_holds_which(rows)}.")
    alike = [row for row in rows if row.manifest_hash == common[0]]
    pinned = {"manifest": common[0], "revision": alike[0].revision or None}
    return config.model_copy(update={"model": config.model.model_copy(update=pinned)}), alike


def check_cut(config: RunConfig, layers: int) -> None:
    """Raise CL-1002 where a party's head and tail leave no layer for the body."""
    for name, own in [("", config), *((party, config.for_party(party)) for party in config.parties)]:
        tail = own.split.tail_layers if own.split.topology == "u_shape" else 0
        if layers and own.split.head_layers + tail >= layers:
            raise AppError(
                "CL-1002",
                f"{name + ': ' if name else ''}{own.split.head_layers} head and {tail} tail layers leave none of the "
                f"model's {layers} layers for the compute organisation.",
                details={"fields": [{"field": "split.head_layers", "message": f"At most {layers - tail - 1} here."}]},
            )


def check_targets(config: RunConfig, shape: ModelShape | None) -> None:
    """Raise CL-1105 where the adapter is to go on modules that the base model does not have."""
    if wrong := missing_targets(shape, config.lora.target_modules):
        raise AppError("CL-1105", wrong, details={"fields": [{"field": "lora.target_modules", "message": wrong}]})


def run_check(run: Run) -> RunConfig:
    """Everything that submission demands of a draft. Returns the configuration, decided and with its model pinned."""
    config = RunConfig.parse(run.config)
    participants = parties_check(run)
    config = decided(config, [p.organisation_id for p in participants if p.role == ParticipantRole.CLIENT])
    problems = override_problems(config, [p.party for p in participants if p.role == ParticipantRole.CLIENT])
    if problems:
        first = problems[0]
        raise AppError("CL-1001", f"{first['field']}: {first['message']}", details={"fields": problems})
    labels_check(config, [p.dataset_version for p in participants if p.dataset_version is not None])
    config, models = _pin_model(config, participants)
    shape = shared_shape(models)
    check_cut(config, model_layers(shape, models[0].planned_config))
    check_targets(config, shape)
    return config


@service
def run_submit(*, actor: User, run: Run) -> Run:
    """Freeze the contract, ask each participating organisation for its approval and each worker for its verdict.

    What is decided by who takes part is written into the contract alone: in the draft it stays open for the next one.
    """
    require(actor, Action.SUBMIT_RUN, run.organisation)
    run = run_lock(run.id)
    run_expect(run, Happening.SUBMITTED)
    config = run_check(run)
    run.config = config.model_copy(update={"privacy": RunConfig.parse(run.config).privacy}).model_dump(mode="json")
    run.total_steps = step_count(config, run.participants.select_related("dataset_version"))
    run.contract = contract_text(contract_build(run, config))
    run.contract_hash = contract_hash(run.contract)
    run.save(update_fields=["config", "total_steps", "contract", "contract_hash", "updated_at"])
    run.participants.update(policy_verdict=None)
    for organisation_id in set(run.participants.values_list("organisation_id", flat=True)):
        Approval.objects.update_or_create(
            run=run,
            organisation_id=organisation_id,
            contract_hash=run.contract_hash,
            defaults={"state": ApprovalState.PENDING, "reason": "", "decided_by": None, "decided_at": None},
        )
    run_apply(run, Event(Happening.SUBMITTED, f"Contract {run.contract_hash[:12]} was submitted by {actor}."))
    audit_record(
        actor=actor,
        action="run.submitted",
        organisation_id=run.organisation_id,
        project_id=run.project_id,
        object_id=run.id,
        details={"contract_hash": run.contract_hash},
    )
    return run


def approve_if_complete(run: Run, happening: Happening) -> bool:
    """Let a locked run become approved by an organisation's or a worker's word, and start. Whether it did."""
    if not run_apply(run, Event(happening)):
        return False
    if run.start_when_approved:
        _start_or_say_why_not(run)
    return True


def _start_or_say_why_not(run: Run) -> None:
    """Start an approved run; where a party is not available now, it stays approved and its timeline says why."""
    try:
        run_apply(run, Event(Happening.STARTED))
    except AppError as error:
        timeline_event(
            run, HubEvent.START_HELD, error.message, error=error_info(error.code, error.message, error.remedy)
        )
        run_announce(run)


@service
def approval_decide(
    *, actor: User, run: Run, organisation: Organisation, approve: bool, contract_hash: str, reason: str = ""
) -> Approval:
    """Record an organisation's decision on exactly the contract that the person saw."""
    require(actor, Action.APPROVE_RUN, organisation)
    run = run_lock(run.id)
    run_expect(run, Happening.AGREED if approve else Happening.DECLINED)
    if contract_hash != run.contract_hash:
        raise AppError("CL-1502")
    approval = run.approvals.filter(organisation=organisation, contract_hash=run.contract_hash).first()
    if approval is None:
        raise AppError("CL-1501", f"{organisation.name} doesn't take part in this run.")
    if approval.state != ApprovalState.PENDING:
        raise AppError("CL-1501", f"{organisation.name} has already decided.")
    if approve:
        refusals_check(run, "approved")
    if not approve and not reason.strip():
        raise AppError("CL-1501", "A reason is required to decline.", "Explain briefly what would have to change.")
    approval.state = ApprovalState.APPROVED if approve else ApprovalState.DECLINED
    approval.reason, approval.decided_by, approval.decided_at = reason.strip()[:2000], actor, timezone.now()
    approval.save()
    word = "approved" if approve else "declined"
    audit_record(
        actor=actor,
        action=f"run.{word}",
        organisation_id=organisation.id,
        project_id=run.project_id,
        object_id=run.id,
        details={"contract_hash": contract_hash, "reason": approval.reason},
    )
    timeline_event(run, HubEvent(f"approval.{word}"), f"{organisation.name} {word} contract {contract_hash[:12]}.")
    if not approve:
        run_apply(run, Event(Happening.DECLINED, f"{organisation.name}: {approval.reason}"))
    elif not approve_if_complete(run, Happening.AGREED):
        run_announce(run)
    return approval
