"""Landing page, help pages of the error codes, health and the style guide."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe
from django.views.defaults import page_not_found
from django.views.defaults import server_error as django_server_error
from prometheus_client import CONTENT_TYPE_LATEST

from processes.insight import insight_token, may_look
from splitcore.errors import CATALOGUE, AppError
from webapp.core.health import is_healthy, look
from webapp.core.metrics import exposition
from webapp.core.middleware import app_error_response
from webapp.core.outages import outage
from webapp.core.styleguide import examples
from webapp.core.throttle import client_address
from webapp.orgs.disclosure import data_party_matrix
from workers.contracts import API_PREFIX


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """An address that names nothing: as JSON for programs and workers, as a page for people."""
    if request.path.startswith("/api/"):
        error = AppError("CL-1404" if request.path.startswith(API_PREFIX) else "CL-1611")
        return JsonResponse(error.to_dict(), status=404)
    return page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """A fault of the hub: with a code for programs, so that a worker can tell it from a proxy's; a page for people."""
    fault = sys.exc_info()[1]
    passing = outage(fault) if fault is not None else None
    if passing is not None:  # in a middleware, such as the session's, no view could answer it
        return app_error_response(request, passing)
    if request.path.startswith("/api/"):
        return JsonResponse(AppError("CL-1910").to_dict(), status=500)
    return django_server_error(request)


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """What Cutlayer is; who is signed in goes to the home page."""
    if request.user.is_authenticated:
        return redirect("/home")
    return render(request, "core/landing.html", {"matrix": data_party_matrix()})


_CODE = re.compile(r"CL-[0-9]{4}")


@require_safe
def error_index(request: HttpRequest) -> HttpResponse:
    """All error codes."""
    return render(request, "errors/index.html", {"catalogue": sorted(CATALOGUE.items())})


@require_safe
def error_help(request: HttpRequest, code: str) -> HttpResponse:
    """One code: what happened, why, what to do. One that a newer worker has told is not in this hub's catalogue."""
    if code not in CATALOGUE:
        if not _CODE.fullmatch(code):
            raise Http404
        return render(request, "errors/unknown.html", {"code": code}, status=404)
    return render(request, "errors/help.html", {"code": code, "help": CATALOGUE[code]})


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """The answer to a person who signs up, resets or changes an account too often."""
    remedy = "Wait a minute, then try again."
    return app_error_response(request, AppError("CL-1603", None, remedy, details={"retry_after": 60}))


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 while every part is healthy, else 503; which part, and its figures, for whoever may look."""
    parts = look()
    status = "ok" if is_healthy(parts) else "unhealthy"
    body: dict[str, Any] = {"status": status}
    if _may_look(request):
        body["version"] = settings.CUTLAYER_VERSION
        body["parts"] = {name: {"healthy": part.healthy, **part.figures} for name, part in parts.items()}
    return JsonResponse(body, status=200 if status == "ok" else 503)


@require_safe
def alive(request: HttpRequest) -> HttpResponse:
    """This process answers, whatever the state of the others."""
    return JsonResponse({"status": "ok"})


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The hub's figures for Prometheus, for whoever may look; there is nothing here for others."""
    if not _may_look(request):
        raise Http404
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _may_look(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN or insight_token(Path(settings.VAR_DIR))
    return may_look(address=client_address(request), headers=request.headers, token=token)


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component on one page; only where the settings show it."""
    if not getattr(settings, "SHOW_STYLEGUIDE", False):
        raise Http404
    return render(request, "styleguide/index.html", {"sg": examples()})
