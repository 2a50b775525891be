"""How bodies of the REST API are read: JSON as the standard has it, of a bounded depth, with plain texts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja.parser import Parser

from splitcore.bounds import json_check, json_read
from splitcore.errors import AppError


class BodyParser(Parser):
    """Refuses (CL-1001) what no schema would name: NaN, control characters, nesting without an end."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """The body, checked before any schema sees it."""
        try:
            text = request.body.decode()
            found: dict[str, Any] = json_check(json_read(text), characters=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        except ValueError as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise AppError("CL-1001", f"The body can't be read as JSON: {why[:200]}.") from None
        return found
