"""Status, datasets, ledger, policy, doctor, raw logs, and the PIN."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.views.decorators.http import require_POST, require_safe

from splitcore.errors import AppError
from splitcore.privacy.words import Spending
from workers.accounting.summary import spending_of_all
from workers.console import access
from workers.console.site import site
from workers.copies import copy_seen
from workers.data.labels import counted
from workers.data.register import is_registered, register
from workers.doctor import run_checks
from workers.hub import HubClient
from workers.ledger.book import Book
from workers.ledger.summary import RunTotal, totals, words_of
from workers.models_registry import ModelRegistry
from workers.outbox.history import recent_jobs, sent_items
from workers.policy import SitePolicy

_PREVIEW_ROWS = 20
_LOG_LINES = 400
_LEDGER_RUNS = 50


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """Who this worker is, what it is doing, and what it needs."""
    home = site().home
    context = {
        "enrolment": site().enrolment,
        "lanes": recent_jobs(home.spool_file, limit=10),
        "datasets": len(site().datasets.versions()),
        "models": ModelRegistry(home).all(),
        "home": home.root,
        "copied": AppError("CL-1419") if copy_seen(home) else None,
    }
    return render(request, "console/status.html", context)


@require_safe
def datasets(request: HttpRequest) -> HttpResponse:
    """Every version on this machine."""
    rows = [{"stored": s, "meta": s.metadata, "registered": is_registered(s)} for s in site().datasets.versions()]
    waiting = site().datasets.staged_bytes() + sum(upload.received for upload in site().uploads.all())
    sizes = {"stored_bytes": sum(one.bytes for one in site().datasets.versions()), "waiting_bytes": waiting}
    spendings, trouble = _spendings()
    return render(request, "console/datasets.html", {"rows": rows, "spendings": spendings, "trouble": trouble, **sizes})


def _spendings() -> tuple[dict[str, Spending], AppError | None]:
    """What each dataset's rows have spent, or why that can't be told."""
    home = site().home
    try:
        budget = SitePolicy.load(home.policy_file).budget
        return {one.name: one.in_words() for one in spending_of_all(home, budget)}, None
    except AppError as error:
        return {}, error


def _stored(name: str, version: int) -> Any:
    for stored in site().datasets.versions(name):
        if stored.metadata.version == version:
            return stored
    raise Http404


@require_safe
@access.needs_pin
def preview(request: HttpRequest, name: str, version: int) -> HttpResponse:
    """The first rows, for people at this site who gave the PIN."""
    stored = _stored(name, version)
    parts = [(part, [_in_order(row) for row in islice(rows, _PREVIEW_ROWS)]) for part, rows in _parts(stored)]
    context = {"meta": stored.metadata, "parts": parts, "labels": counted(stored.folder)}
    return render(request, "console/preview.html", context)


def _in_order(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it is read: what is asked before what is answered."""
    first = [name for name in ("prompt", "completion", "messages", "text", "label") if name in row]
    return {name: row[name] for name in (*first, *(name for name in row if name not in first))}


def _parts(stored: Any) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    yield "Training rows", stored.train_rows()
    yield "Held-out rows", stored.heldout_rows()


@require_POST
@access.needs_pin
def delete(request: HttpRequest, name: str, version: int) -> HttpResponse:
    """Remove a version's rows from this machine."""
    site().datasets.delete(name, version)
    messages.success(
        request, f"The rows of {name} v{version} were deleted from this machine. The hub is notified within seconds."
    )
    return redirect("console:datasets")


@require_POST
@access.needs_add
def send_again(request: HttpRequest, name: str, version: int) -> HttpResponse:
    """Send the metadata of a version that the hub has not got yet."""
    hub = HubClient.of(site().home)
    try:
        register(_stored(name, version), hub)
        messages.success(request, "The hub now has the metadata.")
    except AppError as error:
        messages.error(request, f"{error.code}: {error.message} {error.remedy}")
    finally:
        hub.close()
    return redirect("console:datasets")


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """What left this machine, run by run; with the PIN also the metadata and the records, word for word."""
    home = site().home
    unlocked = access.is_unlocked(request)
    context = {
        "totals": [_shown(total) for total in totals(Book(home.ledger_file))[:_LEDGER_RUNS]],
        "entries": sent_items(home.spool_file, limit=300) if unlocked else [],
        "datasets": [s.metadata for s in site().datasets.versions() if is_registered(s)] if unlocked else [],
    }
    return render(request, "console/ledger.html", context)


def _shown(total: RunTotal) -> dict[str, Any]:
    return {
        "title": f"Run {total.run_id}" if total.run_id else "Outside runs",
        "size": f"{filesizeformat(total.bytes)} in {total.count:,} messages",
        "notes": total.notes,
        "lines": [
            {"what": words_of(line), "line": line, "count": f"{line.count:,}", "bytes": f"{line.nbytes:,}"}
            for line in total.lines
        ],
    }


@require_safe
def policy(request: HttpRequest) -> HttpResponse:
    """The site's policy file, as it is enforced here."""
    path = site().home.policy_file
    return render(request, "console/policy.html", {"path": path, "text": path.read_text() if path.exists() else ""})


@require_safe
def doctor(request: HttpRequest) -> HttpResponse:
    """The same checks as `cutlayer worker doctor`."""
    return render(request, "console/doctor.html", {"checks": run_checks(site().home)})


@require_safe
@access.needs_pin
def logs(request: HttpRequest) -> HttpResponse:
    """Raw logs: they stay on this machine, and may hold more than the hub is told."""
    folder = site().home.logs
    files = sorted(path.name for path in folder.glob("*.log"))
    chosen = request.GET.get("file", files[0] if files else "")
    text = _tail(folder / chosen) if chosen in files else ""
    return render(request, "console/logs.html", {"files": files, "chosen": chosen, "text": text})


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES:])


def pin(request: HttpRequest) -> HttpResponse:
    """Ask for the PIN, accept it, or lock again."""
    target = request.POST.get("next") or request.GET.get("next") or "/"
    if not target.startswith("/") or target.startswith("//"):
        target = "/"
    error = None
    if request.method == "POST" and "lock" in request.POST:
        request.session.flush()
        return redirect("console:status")
    if request.method == "POST":
        try:
            access.unlock(request, request.POST.get("pin", ""))
            return redirect(target)
        except AppError as caught:
            error = caught
    answer = 200 if error is None else 429 if error.code == "CL-1455" else 403
    return render(request, "console/pin.html", {"error": error, "next": target}, status=answer)
