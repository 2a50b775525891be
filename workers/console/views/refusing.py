"""Pages for what the console does not have or take: its own, not the hub's, whose templates lie beside them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string


def _page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    context = {"status": status, "title": title, "text": text}
    return render(request, "console/refused.html", context, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return _page(request, 404, "Page not found", "This worker's console has no such page.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    text = "The address or the form can't be read. Open the console at the address that the worker printed."
    return _page(request, 400, "The request can't be read", text)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return _page(request, 403, "This is not allowed", "The console doesn't accept this request.")


def form_is_stale(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without the token that this console gave the page."""
    text = "The page was open too long, or cookies are blocked. Go back, reload the page and send the form again."
    return _page(request, 403, "The form has expired", text)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, without anything of the request: what failed once may fail again."""
    text = "The worker's jobs continue. The worker's log has the details."
    context = {"status": 500, "title": "This page couldn't be displayed", "text": text}
    return HttpResponse(render_to_string("console/refused.html", context), status=500)
