"""The contract page: hash, parties, approvals, verdicts, what changed; and the inbox."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from splitcore.config import config_read
from splitcore.errors import AppError
from webapp.orgs.http import MemberRequest, member_required
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, why_not
from webapp.runs.availability import refusing_parts, start_why_not
from webapp.runs.configure.privacy import Party, cut_warnings, who_sees_what
from webapp.runs.contract import contract_diff, contract_read
from webapp.runs.models import ApprovalState, Participant, ParticipantRole, Run, RunState
from webapp.runs.permissions import approvable_organisations, can_edit_run, can_start_run, can_stop_run
from webapp.runs.selectors import inbox_for, run_get_for
from webapp.runs.services import approval_decide
from webapp.runs.verdicts import refusals_of
from webapp.runs.views.tabs import run_tabs
from workers.contracts import ContractDocument


def party_columns(document: ContractDocument) -> list[Party]:
    """The contract's parties, with its word on who receives the adapter."""
    return [Party(p.organisation, p.role.value, p.receives_adapter) for p in document.participants]


def _why_refused(parts: list[Participant]) -> str:
    """Why nobody can approve yet, and whose turn it is; empty where no worker refuses."""
    names = ", ".join(dict.fromkeys(part.worker.name for part in parts))
    if parts and all(part.only_lacks_trust for part in parts):
        return f"{names} doesn't trust a certificate in this contract yet. Its operator can find the command below."
    if any(part.has_other_contract for part in parts):
        return f"{names} has admitted a different contract for this run, which the hub has lost. Clone the run."
    return f"The site policy of {names} refuses this contract. Change it and resubmit." if parts else ""


def _decisions(request: MemberRequest, run: Run) -> list[dict[str, object]]:
    """Each organisation's word, and whether this person may give it."""
    mine = {organisation.id for organisation in approvable_organisations(request.user, run)}
    rows = run.approvals.filter(contract_hash=run.contract_hash).select_related("organisation", "decided_by")
    waiting = run.state == RunState.AWAITING
    refused = _why_refused(refusing_parts(run))
    return [
        {
            "approval": row,
            "can": waiting and row.state == ApprovalState.PENDING and row.organisation_id in mine,
            "refused": refused,
            "why": why_not(request.user, Action.APPROVE_RUN, row.organisation)
            if waiting and row.state == ApprovalState.PENDING and row.organisation == request.organisation
            else "",
        }
        for row in rows
    ]


@member_required
@require_safe
def approvals(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """What is to be approved, by whom, and what has changed since."""
    run = run_get_for(user=request.user, run_id=run_id)
    if not run.contract:
        return redirect("runs:edit" if can_edit_run(request.user, run) else "runs:detail", run.id)
    document = contract_read(run.contract)
    assert document is not None
    config = config_read(document.config, document.contract_version)
    startable = run.state == RunState.APPROVED and can_start_run(request.user, run)
    earlier = run.approvals.filter(decided_at__isnull=False).exclude(contract_hash=run.contract_hash)
    context = {
        "run": run,
        "tabs": run_tabs(run, "approvals"),
        "document": document,
        "config": config,
        "yaml": config.to_yaml(),
        "contract_json": json.dumps(json.loads(run.contract), indent=2, ensure_ascii=False),
        "decisions": _decisions(request, run),
        "verdicts": [
            {"part": part, "refusals": refusals_of(part)}
            for part in run.participants.select_related("worker", "organisation")
        ],
        "with_rows": {part.organisation_id for part in run.participants.filter(role=ParticipantRole.CLIENT)},
        "changes": contract_diff(run.approved_contract, run.contract),
        "first_contract": not run.approved_contract,
        "earlier": earlier.select_related("organisation", "decided_by").order_by("-decided_at"),
        "matrix": who_sees_what(config, party_columns(document), prompts=bool(document.public_prompts)),
        "warnings": cut_warnings(config),
        "can_start": startable,
        "start_why_not": start_why_not(run) if startable else "",
        "can_edit": can_edit_run(request.user, run),
        "can_stop": can_stop_run(request.user, run) and run.state in (RunState.AWAITING, RunState.APPROVED),
        "is_open": run.state == RunState.AWAITING,
    }
    return render(request, "runs/approvals.html", context)


@member_required
@require_POST
def decide(request: MemberRequest, run_id: str) -> HttpResponse:
    """Approve or decline for one organisation."""
    run = run_get_for(user=request.user, run_id=run_id)
    wanted = request.POST.get("organisation", request.organisation.id)
    organisation = Organisation.objects.filter(id=wanted, id__in=run.participants.values("organisation_id")).first()
    try:
        if organisation is None:
            raise AppError("CL-1501", "That organisation doesn't take part in this run.")
        approve = request.POST.get("decision") == "approve"
        approval_decide(
            actor=request.user,
            run=run,
            organisation=organisation,
            approve=approve,
            contract_hash=request.POST.get("contract_hash", ""),
            reason=request.POST.get("reason", ""),
        )
    except AppError as error:
        if error.code == "CL-1601":
            raise
        messages.error(request, f"{error.message} {error.remedy} ({error.code})")
        return redirect("runs:approvals", run.id)
    messages.success(request, f"{organisation.name} has {'approved' if approve else 'declined'} the contract.")
    run.refresh_from_db()
    started = run.state in (RunState.STARTING, RunState.TRAINING)
    return redirect("runs:detail" if started else "runs:approvals", run.id)


@member_required
@require_safe
def inbox(request: MemberRequest) -> HttpResponse:
    """What waits for this person, for others, and what was decided."""
    chosen = request.GET.get("tab", "decide")
    lists = inbox_for(request.user)
    chosen = chosen if chosen in lists else "decide"
    labels = {"decide": "To decide", "waiting": "Waiting on others", "history": "History"}
    tabs = [
        {"label": label, "url": f"/inbox?tab={key}", "active": key == chosen,
         "count": len(lists[key]) if key != "history" else None}
        for key, label in labels.items()
    ]  # fmt: skip
    return render(request, "runs/inbox.html", {"items": lists[chosen], "tabs": tabs, "chosen": chosen})
