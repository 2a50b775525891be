"""The OpenAPI document: what ninja knows of each operation, and every refusal that it may meet, in one form.

The refusals follow from what an operation takes (a token, an id, a body), so that no operation lists them by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ninja import NinjaAPI, Schema
from ninja.openapi.schema import OpenAPISchema

METHODS = ("get", "post", "put", "patch", "delete")
ERROR = "#/components/schemas/ErrorOut"
MEANINGS = {
    400: "The request can't be carried out. The code gives the reason.",
    401: "No valid token (CL-1610).",
    403: "The role, the scope or the second factor is missing.",
    404: "The object doesn't exist or isn't visible to the caller (CL-1611).",
    409: "The object's state doesn't allow this, or the request contradicts an earlier one.",
    413: "The body is larger than allowed.",
    422: "A value isn't valid (`details.fields` names each, CL-1001), or the parts don't fit together.",
    429: "Too many failed attempts from this address (CL-1603).",
    503: "Part of the hub is not responding (CL-1901). Try again.",
}
RETRY_AFTER = {
    "description": "Seconds to wait before trying again.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 60},
}


class ErrorOut(Schema):
    """The one form of every error."""

    code: str
    message: str
    remedy: str
    details: dict[str, Any]


class DescribedAPI(NinjaAPI):
    """ninja's API whose document names the refusals too."""

    def get_openapi_schema(self, *args: Any, **kwargs: Any) -> OpenAPISchema:
        """The document, with servers, the form of errors and the refusals of each operation."""
        document: Any = super().get_openapi_schema(*args, **kwargs)
        document["servers"] = [{"url": "/", "description": "The hub that serves this document"}]
        document["components"].setdefault("schemas", {})["ErrorOut"] = ErrorOut.model_json_schema()
        for method, operation in operations(document):
            for status in refusals(method, operation):
                operation["responses"].setdefault(status, _refusal(status))
        found: OpenAPISchema = document
        return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(method, operation) of every path."""
    for entry in document["paths"].values():
        yield from ((method, entry[method]) for method in METHODS if method in entry)


def refusals(method: str, operation: dict[str, Any]) -> list[int]:
    """The statuses of the refusals that an operation may meet, by what it takes."""
    parameters = operation.get("parameters", [])
    takes_body = "requestBody" in operation
    names_object = takes_body or any(one["in"] == "path" or one["name"] == "project" for one in parameters)
    found = {400, 401, 403, 429, 503}
    if names_object:
        found.add(404)
    if method != "get" or any(one["in"] == "path" for one in parameters):
        found.add(409)
    if takes_body:
        found.add(413)
    if takes_body or parameters:
        found.add(422)
    return sorted(found)


def _refusal(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": MEANINGS[status],
        "content": {"application/json": {"schema": {"$ref": ERROR}}},
    }
    return answer | {"headers": {"Retry-After": RETRY_AFTER}} if status == 429 else answer
