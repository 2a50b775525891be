"""Turns an AppError that no view caught into a page or JSON with code, cause and remedy."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from redis.exceptions import RedisError

from splitcore.errors import AppError
from webapp.core.errors import headers_set, http_status


class AppErrorMiddleware:
    """Answers with the error's panel (HTML) or its dictionary (JSON)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer an AppError, or a store of counters that is away; leave every other exception to Django."""
        if isinstance(error, RedisError):
            error = AppError("CL-1901")
        if not isinstance(error, AppError):
            return None
        return app_error_response(request, error)


def app_error_response(request: HttpRequest, error: AppError) -> HttpResponse:
    """The error as JSON for programs, as a page for people."""
    status = http_status(error.code)
    if request.path.startswith("/api/") or "application/json" in request.headers.get("accept", ""):
        return headers_set(JsonResponse(error.to_dict(), status=status), error)
    return headers_set(render(request, "errors/app_error.html", {"error": error}, status=status), error)
