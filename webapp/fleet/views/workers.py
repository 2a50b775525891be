"""The table of workers, a worker's page and its actions."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.core.errors import http_status
from webapp.fleet.facts import facts_of, hardware_of, policy_of, table_facts
from webapp.fleet.forms import WorkerForm
from webapp.fleet.models import Worker
from webapp.fleet.selectors import activity_of, lanes_of, open_tokens, worker_get_for, workers_table
from webapp.fleet.services import worker_confirm, worker_quarantine, worker_release, worker_rename, worker_revoke
from webapp.orgs.http import MemberRequest, answer_action, member_required
from webapp.orgs.permissions import Action, require, why_not


@member_required
@require_safe
def workers(request: MemberRequest) -> HttpResponse:
    """All workers of the organisation, each fact on its own."""
    rows = [(worker, table_facts(worker)) for worker in workers_table(request.user, request.organisation)]
    context = {
        "rows": rows,
        "open_tokens": open_tokens(request.user, request.organisation),
        "enrol_why_not": why_not(request.user, Action.ENROL_WORKER, request.organisation),
    }
    template = "fleet/_workers.html" if request.headers.get("HX-Request") else "fleet/workers.html"
    return render(request, template, context)


@member_required
@require_safe
def worker(request: MemberRequest, worker_id: str) -> HttpResponse:
    """Everything that is known of one worker."""
    row = worker_get_for(user=request.user, worker_id=worker_id)
    context = {
        "worker": row,
        "facts": facts_of(row),
        "hardware": hardware_of(row),
        "policy": policy_of(row),
        "models": row.models.order_by("model_id"),
        "datasets": row.datasets.filter(is_archived=False).prefetch_related("versions"),
        "lanes": lanes_of(row),
        "activity": activity_of(row),
        "confirm_why_not": why_not(request.user, Action.CONFIRM_WORKER, row.organisation),
        "revoke_why_not": why_not(request.user, Action.REVOKE_WORKER, row.organisation),
        "edit_why_not": why_not(request.user, Action.ENROL_WORKER, row.organisation),
    }
    template = "fleet/_worker.html" if request.headers.get("HX-Request") else "fleet/worker.html"
    return render(request, template, context)


@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def worker_edit(request: MemberRequest, worker_id: str) -> HttpResponse:
    """Change name and labels."""
    row = worker_get_for(user=request.user, worker_id=worker_id)
    require(request.user, Action.ENROL_WORKER, row.organisation)
    form = WorkerForm(request.POST or None, initial={"name": row.name, "labels": row.labels})
    error: AppError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            worker_rename(actor=request.user, worker=row, **form.cleaned_data)
        except AppError as refused:
            error = refused
        else:
            return answer_action(
                request, lambda: None, done="Changes saved.", to=reverse("fleet:worker", args=[row.pk])
            )
    status = http_status(error.code) if error else 422 if form.is_bound else 200
    return render(request, "fleet/edit.html", {"worker": row, "form": form, "error": error}, status=status)


def _act(request: MemberRequest, worker_id: str, act: Callable[[User, Worker], object], done: str) -> HttpResponse:
    row = worker_get_for(user=request.user, worker_id=worker_id)
    return answer_action(request, lambda: act(request.user, row), done=done, to=reverse("fleet:worker", args=[row.pk]))


@member_required
@require_POST
def confirm(request: MemberRequest, worker_id: str) -> HttpResponse:
    """Confirm the fingerprint that the page showed."""
    compared = request.POST.get("fingerprint", "")
    return _act(
        request,
        worker_id,
        lambda actor, row: worker_confirm(actor=actor, worker=row, fingerprint=compared),
        "The worker is confirmed and can be given work.",
    )


@member_required
@require_POST
def quarantine(request: MemberRequest, worker_id: str) -> HttpResponse:
    """Suspend a worker."""
    return _act(
        request,
        worker_id,
        lambda actor, row: worker_quarantine(actor=actor, worker=row),
        "The worker is in quarantine. Its connection is closed and its calls are refused.",
    )


@member_required
@require_POST
def release(request: MemberRequest, worker_id: str) -> HttpResponse:
    """Lift a quarantine."""
    return _act(
        request,
        worker_id,
        lambda actor, row: worker_release(actor=actor, worker=row),
        "The quarantine was lifted. The worker reconnects automatically.",
    )


@member_required
@require_POST
def revoke(request: MemberRequest, worker_id: str) -> HttpResponse:
    """Shut a worker out for good; the name has to be typed."""

    def act(actor: User, row: Worker) -> None:
        if request.POST.get("typed", "").strip() != row.name:
            raise AppError("CL-1417", "The name doesn't match the worker's.", "Type the worker's name exactly.")
        worker_revoke(actor=actor, worker=row)

    return _act(request, worker_id, act, "The worker was revoked.")
