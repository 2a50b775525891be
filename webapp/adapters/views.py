"""An adapter's page and its download."""

from __future__ import annotations

from pathlib import Path

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_safe

from splitcore.errors import AppError
from webapp.adapters.card import snippet, tokenizer_sentence
from webapp.adapters.models import Adapter
from webapp.adapters.selectors import adapter_get_for, recipient_organisations
from webapp.audit.models import AuditEntry
from webapp.core.streaming import file_response
from webapp.orgs.http import MemberRequest, member_required
from webapp.runs.configure.forms import yaml_of
from webapp.runs.configure.values import labels_of
from webapp.runs.contract import config_agreed, contract_read
from webapp.runs.finishing.handing_out import adapter_download, download_organisation, why_no_download
from webapp.runs.selectors import domain_table


def file_name(adapter: Adapter) -> str:
    """The archive's name: run and, where there is one, party."""
    return f"{slugify(adapter.run.name)[:60] or adapter.run_id}{'-' + adapter.party if adapter.party else ''}.zip"


def archive_response(path: Path, name: str) -> StreamingHttpResponse:
    """A zip as an attachment that no browser will open in place."""
    response = file_response(path, content_type="application/zip", filename=name)
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def _why_not(request: MemberRequest, adapter: Adapter) -> str:
    try:
        download_organisation(request.user, adapter)
    except AppError as error:
        return f"{error.message} {error.remedy}"
    return why_no_download(adapter)


@member_required
@require_safe
def detail(request: MemberRequest, adapter_id: str) -> HttpResponse:
    """Card, files, checks, evaluation, how to use it, who may have it."""
    adapter = adapter_get_for(user=request.user, adapter_id=adapter_id)
    run = adapter.run
    config = config_agreed(run)
    organisations = {p.party: p.organisation.name for p in run.participants.select_related("organisation")}
    downloads = AuditEntry.objects.filter(action="adapter.downloaded", object_id=adapter.id)
    context = {
        "adapter": adapter,
        "run": run,
        "config": config,
        "yaml": yaml_of(config.model_dump(mode="json")),
        "document": contract_read(run.contract),
        "why_not": _why_not(request, adapter),
        "recipients": recipient_organisations(adapter),
        "snippet": snippet(adapter, "the-unpacked-folder"),
        "evaluation": [(organisations.get(party, party), e) for party, e in sorted(adapter.evaluation.items())],
        "files": sorted({**adapter.provenance.get("files", {}), **adapter.provenance.get("tokenizer", {})}.items()),
        "tokenizer_sentence": tokenizer_sentence(adapter),
        "reports": list(adapter.reports.values()),
        "downloads": downloads.count(),
        "table": domain_table(run.project, like=run),
        "labels": labels_of(run.config),
    }
    return render(request, "adapters/detail.html", context)


@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def download(request: MemberRequest, adapter_id: str) -> HttpResponseBase:
    """The verified archive, for a recipient; each download is in the audit log.

    A link alone would leave an entry in the name of whoever follows it: the adapter's page answers one. Its button
    sends the session's own token.
    """
    adapter = adapter_get_for(user=request.user, adapter_id=adapter_id)
    if request.method != "POST":
        return redirect("adapters:detail", adapter.pk)
    return archive_response(adapter_download(actor=request.user, adapter=adapter), file_name(adapter))
