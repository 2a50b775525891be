"""Turns an AppError that no view caught into a page or JSON with code, cause and remedy."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.template.loader import render_to_string

from splitcore.bounds import is_plain
from splitcore.errors import AppError
from webapp.core.errors import headers_set, http_status
from webapp.core.outages import outage
from webapp.core.registry import requests_answered

_ERROR_PAGE = "errors/app_error.html"
_CHARSETS = ("utf-8", "ascii", "iso8859-1", "cp1252")  # as Python names them; pages are in UTF-8


class AppErrorMiddleware:
    """Answers with the error's panel (HTML) or its dictionary (JSON)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on, and count the answer."""
        response = self.get_response(request)
        requests_answered.labels(str(response.status_code)).inc()
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer an AppError, or an outage of what the hub stands on; leave every other exception to Django."""
        found = error if isinstance(error, AppError) else outage(error)
        return app_error_response(request, found) if found is not None else None


class ReadableMiddleware:
    """Refuses what no browser sends, before it becomes a fault of the hub that any stranger can cause."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """CL-1621 for a session cookie that no database can look up, and for a form in no encoding of text."""
        if not is_plain(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")) or not _is_readable(request):
            return app_error_response(request, AppError("CL-1621"))
        return self.get_response(request)


def _is_readable(request: HttpRequest) -> bool:
    """Whether the fields can be decoded. Django takes every codec of Python's for a charset, such as rot13."""
    try:
        charset = codecs.lookup((request.content_params or {}).get("charset", "utf-8")).name
    except (LookupError, ValueError):
        return False
    return charset in _CHARSETS


class PlainTextMiddleware:
    """Refuses control characters in addresses and forms: no name has them, and PostgreSQL stores no NUL."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        """404 for an address that names nothing, CL-1620 for a field; bodies of the APIs have schemas of their own."""
        if not is_plain(request.path):
            raise Http404
        if not _fields_are_plain(request.GET):
            return app_error_response(request, AppError("CL-1620"))
        if request.method == "POST" and not request.path.startswith("/api/") and not _fields_are_plain(request.POST):
            return app_error_response(request, AppError("CL-1620"))
        return None


def _fields_are_plain(fields: QueryDict) -> bool:
    return all(is_plain(name) and all(is_plain(value) for value in values) for name, values in fields.lists())


def app_error_response(request: HttpRequest, error: AppError) -> HttpResponse:
    """The error as JSON for programs, as a page for people."""
    status = http_status(error.code)
    if request.path.startswith("/api/") or "application/json" in request.headers.get("accept", ""):
        return headers_set(JsonResponse(error.to_dict(), status=status), error)
    try:
        page = render(request, _ERROR_PAGE, {"error": error}, status=status)
    except DatabaseError:  # the shell names the person and their inbox; without a database nobody is known
        page = HttpResponse(render_to_string(_ERROR_PAGE, {"error": error}), status=status)
    return headers_set(page, error)
