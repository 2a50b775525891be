"""Starting a leakage audit from a run's page, and its report."""

from __future__ import annotations

from typing import get_args

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from splitcore.audit.portfolio import Size
from splitcore.audit.report import report_html
from splitcore.errors import AppError
from webapp.orgs.http import MemberRequest, member_required
from webapp.runs.models import Run
from webapp.runs.selectors import run_get_for
from webapp.runs.selectors.audits import AuditedPart, audited_parts
from webapp.runs.services import audit_cancel, audit_request


def _own_part(request: MemberRequest, run: Run, part_id: str) -> AuditedPart:
    for one in audited_parts(request.user, run):
        if one.part.id == part_id:
            return one
    raise Http404("No such part.")


@member_required
@require_POST
def start(request: MemberRequest, run_id: str, part_id: str) -> HttpResponse:
    """Ask the part's own worker to measure what its rows would leak."""
    run = run_get_for(user=request.user, run_id=run_id)
    own, size = _own_part(request, run, part_id), request.POST.get("size", "quick")
    try:
        if size not in get_args(Size):
            raise AppError("CL-1555", "An audit is quick or full.")
        audit_request(actor=request.user, part=own.part, size=size)  # type: ignore[arg-type]  # checked just now
        messages.success(request, "The worker starts the audit as soon as it has a slot beside training.")
    except AppError as error:
        if error.code == "CL-1601":
            raise
        messages.error(request, f"{error.message} {error.remedy} ({error.code})")
    return redirect("runs:privacy", run.id)


@member_required
@require_POST
def cancel(request: MemberRequest, run_id: str, part_id: str, subject: str) -> HttpResponse:
    """End an audit that is under way."""
    run = run_get_for(user=request.user, run_id=run_id)
    own = _own_part(request, run, part_id)
    try:
        audit_cancel(actor=request.user, part=own.part, subject=subject)
        messages.success(request, "The audit is cancelled. The worker deletes what it recorded for it.")
    except AppError as error:
        if error.code == "CL-1601":
            raise
        messages.error(request, f"{error.message} {error.remedy} ({error.code})")
    return redirect("runs:privacy", run.id)


@member_required
@require_safe
def report(request: MemberRequest, run_id: str, part_id: str, subject: str) -> HttpResponse:
    """The report of one audit, as a file."""
    run = run_get_for(user=request.user, run_id=run_id)
    for one in _own_part(request, run, part_id).audits:
        if one.job.subject == subject and one.result is not None:
            page = report_html(one.result, subject=f"{run.name} ({run.id})")
            answer = HttpResponse(page, content_type="text/html; charset=utf-8")
            answer["Content-Disposition"] = f'attachment; filename="leakage-{run.id}-{subject}.html"'
            return answer
    raise Http404("No such audit.")
