"""Certificates to trust and contracts to approve: shown to whoever is at this machine, decided with the PIN."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from splitcore.errors import AppError
from workers.agreement import contract_lines
from workers.approvals import ApprovalBook
from workers.console import access
from workers.console.site import site
from workers.decisions import PURPOSES, open_decisions, purpose_of_row
from workers.enrol import fingerprint_groups
from workers.outbox.questions import WaitingRow
from workers.trust import TrustBook


@require_safe
def decisions(request: HttpRequest) -> HttpResponse:
    """What waits for a person of this site, and which certificates are trusted."""
    home, enrolment = site().home, site().enrolment
    found = [_shown(row, enrolment.worker_id if enrolment else "") for row in open_decisions(home)]
    book = TrustBook.load(home)
    context = {
        "certificates": [item for item in found if item["kind"] == "certificate"],
        "contracts": [item for item in found if item["kind"] == "contract"],
        "has_open": bool(found),
        "trusted": [
            *((fingerprint_groups(one), PURPOSES["compute"]) for one in book.compute),
            *((fingerprint_groups(one), PURPOSES["data"]) for one in book.data),
        ],
    }
    return render(request, "console/decisions.html", context)


def _shown(row: WaitingRow, worker_id: str) -> dict[str, Any]:
    item = asdict(row)
    item |= {"asked": datetime.fromtimestamp(item["asked_at"], UTC), "groups": fingerprint_groups(item["subject"])}
    if item["kind"] == "certificate":
        item |= {"purpose": purpose_of_row(row), "purpose_words": PURPOSES[purpose_of_row(row)]}
    if item["kind"] == "contract":
        try:
            item["lines"] = contract_lines(item["detail"], worker_id=worker_id)
        except AppError as error:
            item["lines"] = [("Contract", error.message)]
    return item


def _asked(kind: str, subject: str) -> WaitingRow | None:
    """What was asked, if exactly this was: a page can't be made to trust what nobody saw on it."""
    return next((row for row in open_decisions(site().home) if (row.kind, row.subject) == (kind, subject)), None)


@require_POST
@access.needs_pin
def trust(request: HttpRequest) -> HttpResponse:
    """Trust a certificate that a contract names, for what the page said of it."""
    fingerprint, purpose = request.POST.get("fingerprint", ""), request.POST.get("purpose", "")
    row = _asked("certificate", fingerprint)
    if row is None or purpose_of_row(row) != purpose:
        raise AppError("CL-1423", "This certificate is no longer waiting for this decision.")
    with TrustBook.changing(site().home) as book:
        book.add(fingerprint, purpose_of_row(row))
    messages.success(request, "The certificate is trusted. The contract will be rechecked within seconds.")
    return redirect("console:decisions")


@require_POST
@access.needs_pin
def approve(request: HttpRequest) -> HttpResponse:
    """Approve a contract for this site, by its hash."""
    contract_hash = request.POST.get("contract_hash", "")
    if _asked("contract", contract_hash) is None:
        raise AppError("CL-1427", "This contract is no longer waiting for a decision.")
    with ApprovalBook.changing(site().home) as book:
        book.add(contract_hash, by="console")
    messages.success(request, "The contract is approved for this site. The run continues automatically.")
    return redirect("console:decisions")
