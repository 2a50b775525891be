"""The audit log: explore, export, verify."""

from __future__ import annotations

from typing import cast

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from splitcore.audit_export import Form, key_fingerprint
from webapp.audit.disputes import disputed_elsewhere, disputes_of
from webapp.audit.exports import signed_export
from webapp.audit.forms import AuditFilter
from webapp.audit.models import AuditEntry
from webapp.audit.selectors import ChainReport, entries_visible_to, verify_chain
from webapp.audit.services import audit_record
from webapp.fleet.hub_key import hub_public_key_pem
from webapp.orgs.http import MemberRequest, member_required
from webapp.orgs.permissions import Action, require

_TYPES: dict[str, str] = {"csv": "text/csv", "json": "application/x-ndjson"}


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
@require_POST
def export(request: MemberRequest, form: str) -> HttpResponse:
    """The filtered entries as a file that the hub has signed; it leaves an entry, so no foreign page can ask for it."""
    require(request.user, Action.VIEW_AUDIT, request.organisation)
    if form not in _TYPES:
        raise Http404
    entries = AuditFilter(request.GET).apply(_entries(request)).order_by("sequence")
    content = signed_export(
        cast(Form, form),
        entries.iterator(chunk_size=1000),
        organisation_id=request.organisation.pk,
        query=request.GET.urlencode(),
    )
    audit_record(
        actor=request.user,
        action="audit.exported",
        organisation_id=request.organisation.pk,
        details={"format": form, "entries": entries.count()},
    )
    response = HttpResponse(content, content_type=f"{_TYPES[form]}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit.{form}"'
    return response


@member_required
@require_safe
def hub_key(request: MemberRequest) -> HttpResponse:
    """The public key that exports are checked with."""
    require(request.user, Action.VIEW_AUDIT, request.organisation)
    response = HttpResponse(hub_public_key_pem(), content_type="application/x-pem-file")
    response["Content-Disposition"] = 'attachment; filename="hub_public_key.pem"'
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
        "hub_key": key_fingerprint(hub_public_key_pem()),
        "disputes": disputes_of(request.organisation),
        "disputed_elsewhere": disputed_elsewhere(request.organisation),
    }
    return render(request, "audit/log.html", context)
