"""The audit log: explore, export, verify."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from webapp.audit.exports import csv_lines, json_lines
from webapp.audit.forms import AuditFilter
from webapp.audit.models import AuditEntry
from webapp.audit.selectors import ChainReport, entries_visible_to, verify_chain
from webapp.audit.services import audit_record
from webapp.orgs.http import MemberRequest, member_required
from webapp.orgs.permissions import Action, require

_FORMATS = {"csv": (csv_lines, "text/csv"), "json": (json_lines, "application/x-ndjson")}


@member_required
@require_safe
def log(request: MemberRequest) -> HttpResponse:
    """The entries of the current organisation, filtered."""
    require(request.user, Action.VIEW_AUDIT, request.organisation)
    return _page(request)


@member_required
@require_POST
def verify(request: MemberRequest) -> HttpResponse:
    """Recompute the chain and say whether any entry was changed."""
    require(request.user, Action.VIEW_AUDIT, request.organisation)
    return _page(request, verify_chain())


@member_required
@require_safe
def export(request: MemberRequest, form: str) -> HttpResponse:
    """The filtered entries as a file."""
    require(request.user, Action.VIEW_AUDIT, request.organisation)
    if form not in _FORMATS:
        raise Http404
    lines, content_type = _FORMATS[form]
    entries = AuditFilter(request.GET).apply(_entries(request)).order_by("sequence")
    audit_record(
        actor=request.user,
        action="audit.exported",
        organisation_id=request.organisation.pk,
        details={"format": form, "entries": entries.count()},
    )
    text = "".join(lines(entries.iterator(chunk_size=1000)))
    response = HttpResponse(text, content_type=f"{content_type}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit.{form}"'
    return response


def _entries(request: MemberRequest) -> QuerySet[AuditEntry]:
    return entries_visible_to(request.user).filter(organisation_id=request.organisation.pk)


def _page(request: MemberRequest, report: ChainReport | None = None) -> HttpResponse:
    form = AuditFilter(request.GET or None) if request.method != "POST" else AuditFilter()
    entries = _entries(request)
    context = {
        "form": form,
        "page_obj": Paginator(form.apply(entries) if form.is_bound else entries, 50).get_page(request.GET.get("page")),
        "any": entries.exists(),
        "report": report,
        "query": request.GET.urlencode(),
    }
    return render(request, "audit/log.html", context)
