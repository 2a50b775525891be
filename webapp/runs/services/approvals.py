"""From a draft to an approved contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from splitcore.config import RunConfig, override_problems
from splitcore.errors import AppError
from splitcore.planning import missing_targets
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.live import wake_worker
from webapp.core.transactions import service
from webapp.fleet.models import WorkerModel
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, require
from webapp.runs.contract import contract_build, contract_hash, contract_text
from webapp.runs.estimate import layer_count, step_count
from webapp.runs.locking import run_lock
from webapp.runs.models import Approval, ApprovalState, Participant, ParticipantRole, Run, RunState
from webapp.runs.services.control import start_locked
from webapp.runs.services.parties import parties_check
from webapp.runs.states import run_announce, run_move
from webapp.runs.timeline import error_info, timeline_event


def _pin_model(config: RunConfig, participants: list[Participant]) -> tuple[RunConfig, WorkerModel]:
    """Pin the manifest that all workers of the run share; raise CL-1005 naming who lacks the model."""
    name = config.model.name_or_path
    held: dict[str, set[str]] = {p.worker_id: set() for p in participants}
    rows = {m.manifest_hash: m for m in WorkerModel.objects.filter(worker_id__in=held, model_id=name)}
    for worker_id, manifest in WorkerModel.objects.filter(worker_id__in=held, model_id=name).values_list(
        "worker_id", "manifest_hash"
    ):
        held[worker_id].add(manifest)
    lacking = [p.worker.name for p in participants if not held[p.worker_id]]
    if lacking:
        raise AppError("CL-1005", f"{name} is not registered on {', '.join(lacking)}.")
    common = set.intersection(*held.values())
    if config.model.manifest:
        common &= {config.model.manifest}
    if not common:
        raise AppError("CL-1005", f"The workers hold {name} with different manifests, so not the same weights.")
    model = rows[min(common)]
    revision = config.model.revision or _common_revision(model, held)
    pinned = config.model.model_copy(update={"manifest": model.manifest_hash, "revision": revision})
    return config.model_copy(update={"model": pinned}), model


def _common_revision(model: WorkerModel, workers: Iterable[str]) -> str | None:
    """The revision under which all these workers hold the manifest: what one of them says alone binds nobody else."""
    alike = WorkerModel.objects.filter(
        worker_id__in=workers, model_id=model.model_id, manifest_hash=model.manifest_hash
    )
    named = set(alike.values_list("revision", flat=True))
    return named.pop() or None if len(named) == 1 else None


def check_cut(config: RunConfig, layers: int) -> None:
    """Raise CL-1002 where a party's head and tail leave no layer for the body."""
    for name, own in [("", config), *((party, config.for_party(party)) for party in config.parties)]:
        tail = own.split.tail_layers if own.split.topology == "u_shape" else 0
        if layers and own.split.head_layers + tail >= layers:
            raise AppError(
                "CL-1002",
                f"{name + ': ' if name else ''}{own.split.head_layers} head and {tail} tail layers leave nothing of"
                f" the model's {layers} layers for the compute organisation.",
                details={"fields": [{"field": "split.head_layers", "message": f"At most {layers - tail - 1} here."}]},
            )


def check_targets(config: RunConfig, model: dict[str, Any]) -> None:
    """Raise CL-1105 where the adapter is to go on modules that the base model does not have."""
    if wrong := missing_targets(model, config.lora.target_modules):
        raise AppError("CL-1105", wrong, details={"fields": [{"field": "lora.target_modules", "message": wrong}]})


def run_check(run: Run) -> RunConfig:
    """Everything that submission demands of a draft. Returns the configuration with its model pinned."""
    config = RunConfig.parse(run.config)
    participants = parties_check(run)
    problems = override_problems(config, [p.party for p in participants if p.role == ParticipantRole.CLIENT])
    if problems:
        first = problems[0]
        raise AppError("CL-1001", f"{first['field']}: {first['message']}", details={"fields": problems})
    config, model = _pin_model(config, participants)
    check_cut(config, layer_count(model.planned_config))
    check_targets(config, model.planned_config)
    return config


@service
def run_submit(*, actor: User, run: Run) -> Run:
    """Freeze the contract, ask each participating organisation for its approval and each worker for its verdict."""
    require(actor, Action.SUBMIT_RUN, run.organisation)
    run = run_lock(run.id)
    if run.state != RunState.DRAFT:
        raise AppError("CL-1501", "Only a draft can be submitted.")
    config = run_check(run)
    run.config = config.model_dump(mode="json")
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
    run_move(run, RunState.AWAITING, detail=f"Contract {run.contract_hash[:12]} was submitted by {actor}.")
    audit_record(
        actor=actor,
        action="run.submitted",
        organisation_id=run.organisation_id,
        project_id=run.project_id,
        object_id=run.id,
        details={"contract_hash": run.contract_hash},
    )
    for worker_id in run.participants.values_list("worker_id", flat=True):
        wake_worker(worker_id, "review")
    return run


def refusing_parts(run: Run) -> list[Participant]:
    """The parts whose workers refuse the run's contract by their sites' policies. One that waits does not refuse."""
    return [part for part in run.participants.select_related("worker", "organisation") if part.refuses_contract]


def approve_if_complete(run: Run) -> bool:
    """Move a locked run to approved when every organisation has agreed and no worker refuses or waits for its site."""
    current = run.approvals.filter(contract_hash=run.contract_hash)
    if run.state != RunState.AWAITING or current.exclude(state=ApprovalState.APPROVED).exists():
        return False
    if any(part.refuses_contract or part.waits_for_site for part in run.participants.all()):
        return False
    run.approved_contract = run.contract
    run.save(update_fields=["approved_contract", "updated_at"])
    run_move(run, RunState.APPROVED, detail="Every organisation has approved the contract.")
    if run.start_when_approved:
        _start_or_say_why_not(run)
    return True


def _start_or_say_why_not(run: Run) -> None:
    """Start an approved run; where a party is not available now, it stays approved and its timeline says why."""
    try:
        start_locked(run)
    except AppError as error:
        timeline_event(run, "start.held", error.message, error=error_info(error.code, error.message, error.remedy))
        run_announce(run)


@service
def approval_decide(
    *, actor: User, run: Run, organisation: Organisation, approve: bool, contract_hash: str, reason: str = ""
) -> Approval:
    """Record an organisation's decision on exactly the contract that the person saw."""
    require(actor, Action.APPROVE_RUN, organisation)
    run = run_lock(run.id)
    if run.state != RunState.AWAITING:
        raise AppError("CL-1501", "The run is not waiting for approval.")
    if contract_hash != run.contract_hash:
        raise AppError("CL-1502")
    approval = run.approvals.filter(organisation=organisation, contract_hash=run.contract_hash).first()
    if approval is None:
        raise AppError("CL-1501", f"{organisation.name} takes no part in this run.")
    if approval.state != ApprovalState.PENDING:
        raise AppError("CL-1501", f"{organisation.name} has already decided.")
    refusing = refusing_parts(run) if approve else []
    if refusing:
        who = ", ".join(f"{part.worker.name} of {part.organisation.name}" for part in refusing)
        if all(part.only_lacks_trust for part in refusing):
            remedy = "At that site: `cutlayer worker trust` lists the certificate and prints the command."
            raise AppError("CL-1423", f"{who} does not trust a certificate of this contract yet.", remedy)
        if any(part.has_other_contract for part in refusing):
            raise AppError("CL-1514")
        raise AppError("CL-1509", f"The site policy of {who} refuses this contract, so it can't be approved.")
    if not approve and not reason.strip():
        raise AppError("CL-1501", "A decline needs a reason.", "Say in a sentence what would have to change.")
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
    timeline_event(run, f"approval.{word}", f"{organisation.name} {word} contract {contract_hash[:12]}.")
    if not approve:
        run_move(run, RunState.DECLINED, detail=f"{organisation.name}: {approval.reason}")
    elif not approve_if_complete(run):
        run_announce(run)
    return approval
