"""REST operations of `adapters`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Router, Schema

from splitcore.bounds import Word
from webapp.accounts.api_auth import READ_AUTH, Principal, TokenAuth
from webapp.accounts.scopes import Scope
from webapp.adapters.card import snippet
from webapp.adapters.models import Adapter
from webapp.adapters.selectors import adapter_get_for, adapters_visible_to, recipient_organisations
from webapp.adapters.views import archive_response, file_name
from webapp.runs.finishing.handing_out import adapter_download, why_no_download

router = Router(tags=["adapters"])


class AdapterOut(Schema):
    """An adapter: its state, checks and evaluation; `why_not` says why it cannot be downloaded yet."""

    id: str
    run: str
    run_name: str
    project: str
    party: str
    state: str
    bytes: int
    sha256: str
    checks: list[dict[str, Any]]
    evaluation: dict[str, Any]
    verified_at: datetime | None
    recipients: list[str]
    why_not: str
    snippet: str

    @classmethod
    def of(cls, adapter: Adapter) -> AdapterOut:
        """From a row with its run loaded."""
        return cls(
            id=adapter.id,
            run=adapter.run_id,
            run_name=adapter.run.name,
            project=adapter.run.project_id,
            party=adapter.party,
            state=adapter.state,
            bytes=adapter.bytes,
            sha256=adapter.sha256,
            checks=adapter.checks,
            evaluation=adapter.evaluation,
            verified_at=adapter.verified_at,
            recipients=[organisation.id for organisation in recipient_organisations(adapter)],
            why_not=why_no_download(adapter),
            snippet=snippet(adapter),
        )


class AdapterPage(Schema):
    """Adapters, newest first."""

    items: list[AdapterOut]
    count: int


def _caller(request: HttpRequest) -> Principal:
    return request.auth  # type: ignore[attr-defined]


@router.get("", auth=READ_AUTH, response=AdapterPage)
def list_adapters(request: HttpRequest, run: Word = "", project: Word = "") -> AdapterPage:
    """Adapters of the runs that the token's organisation can see."""
    found = adapters_visible_to(_caller(request).user).order_by("-created_at")
    if run:
        found = found.filter(run_id=run)
    if project:
        found = found.filter(run__project_id=project)
    return AdapterPage(items=[AdapterOut.of(adapter) for adapter in found[:200]], count=found.count())


@router.get("/{pub:adapter_id}", auth=READ_AUTH, response=AdapterOut)
def get_adapter(request: HttpRequest, adapter_id: str) -> AdapterOut:
    """One adapter."""
    return AdapterOut.of(adapter_get_for(user=_caller(request).user, adapter_id=adapter_id))


@router.get("/{pub:adapter_id}/download", auth=TokenAuth(Scope.ADAPTERS_DOWNLOAD))
def download_adapter(request: HttpRequest, adapter_id: str) -> StreamingHttpResponse:
    """The verified archive, for the contract's recipients; each download is in the audit log."""
    user = _caller(request).user
    adapter = adapter_get_for(user=user, adapter_id=adapter_id)
    return archive_response(adapter_download(actor=user, adapter=adapter), file_name(adapter))
