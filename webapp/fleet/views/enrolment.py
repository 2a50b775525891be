"""Enrolling a worker: a token shown once, the command, and the checklist that turns green."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from splitcore.errors import AppError
from webapp.core.errors import http_status
from webapp.fleet.checklist import is_finished, steps_of, token_state
from webapp.fleet.enrolment import NewToken, enrolment_token_create, enrolment_token_revoke
from webapp.fleet.forms import EnrolForm
from webapp.fleet.models import EnrolmentToken
from webapp.fleet.selectors import enrolment_token_get_for, open_tokens
from webapp.orgs.http import MemberRequest, answer_action, member_required
from webapp.orgs.models import PartyKind
from webapp.orgs.permissions import Action, why_not


def hub_address(request: HttpRequest) -> str:
    """The hub's address as the person reached it, which is one that its own network knows."""
    return f"{request.scheme}://{request.get_host()}"


def join_command(request: HttpRequest, secret: str, kind: str) -> str:
    """The one command that joins a worker. What a compute worker is for is said there, by the person who runs it."""
    command = f"cutlayer worker join {hub_address(request)} --token {secret}"
    return f"{command} --kind compute" if kind == PartyKind.COMPUTE else command


def _context(request: MemberRequest, token: EnrolmentToken) -> dict[str, Any]:
    return {
        "token": token,
        "worker": token.worker,
        "token_state": token_state(token),
        "steps": steps_of(token),
        "finished": is_finished(token),
        "confirm_why_not": why_not(request.user, Action.CONFIRM_WORKER, token.organisation),
    }


def _token_from(request: MemberRequest, form: EnrolForm) -> NewToken:
    values = form.cleaned_data
    return enrolment_token_create(
        actor=request.user,
        organisation=request.organisation,
        worker_name=values["name"],
        kind=values["kind"],
        labels=values["labels"],
    )


def _shown_once(request: MemberRequest, token: NewToken) -> HttpResponse:
    command = join_command(request, token.secret, token.row.kind)
    service = "compute-worker" if token.row.kind == PartyKind.COMPUTE else "data-worker"
    shown = {
        "command": command,
        "docker_command": f"docker compose exec {service} {command}",
        "version": settings.CUTLAYER_VERSION,
    }
    return render(request, "fleet/enrolment.html", _context(request, token.row) | shown)


@never_cache
@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def enrol(request: MemberRequest) -> HttpResponse:
    """Name the worker; the answer to the form shows the token, once."""
    form = EnrolForm(request.POST or None, initial={"kind": request.organisation.kind})
    error: AppError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            return _shown_once(request, _token_from(request, form))
        except AppError as refused:
            if refused.code == "CL-1601":
                raise
            error = refused
    context = {
        "form": form,
        "error": error,
        "why_not": why_not(request.user, Action.ENROL_WORKER, request.organisation),
        "open_tokens": open_tokens(request.user, request.organisation),
    }
    status = http_status(error.code) if error else 422 if form.is_bound else 200
    return render(request, "fleet/enrol.html", context, status=status)


@never_cache
@member_required
@require_safe
def enrolment(request: MemberRequest, token_id: str) -> HttpResponse:
    """The checklist of one enrolment; the token itself is not shown again."""
    token = enrolment_token_get_for(user=request.user, token_id=token_id)
    template = "fleet/_checklist.html" if request.headers.get("HX-Request") else "fleet/enrolment.html"
    return render(request, template, _context(request, token))


@member_required
@require_POST
def enrolment_revoke(request: MemberRequest, token_id: str) -> HttpResponse:
    """Withdraw a token that was not used."""
    token = enrolment_token_get_for(user=request.user, token_id=token_id)
    return answer_action(
        request,
        lambda: enrolment_token_revoke(actor=request.user, token=token),
        done="The token was revoked. Nobody can join with it.",
        to=reverse("fleet:enrol"),
    )
