"""Turns an AppError into the console's error page, or JSON for the upload script."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from splitcore.errors import AppError

_STATUS = {"CL-1221": 409, "CL-1223": 404, "CL-1450": 403, "CL-1451": 403, "CL-1452": 403, "CL-1453": 403}
_STATUS |= {"CL-1454": 403, "CL-1457": 403, "CL-1455": 429, "CL-1219": 507, "CL-1220": 507}


class AppErrorMiddleware:
    """Answers with the error's panel (HTML) or its dictionary (JSON)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer an AppError; leave every other exception to Django."""
        if not isinstance(error, AppError):
            return None
        status = _STATUS.get(error.code, 400)
        if "application/json" in request.headers.get("accept", ""):
            return JsonResponse(error.to_dict(), status=status)
        return render(request, "console/error.html", {"error": error}, status=status)
