"""Reading strict bodies and answering with messages of the contract."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse
from pydantic import BaseModel, ValidationError

from splitcore.errors import AppError
from webapp.fleet import protocol
from workers.contracts import HEADER_PROTOCOL
from workers.versions import message_form, told_version

M = TypeVar("M", bound=BaseModel)
_SHOWN_PROBLEMS = 5


def refusal(error: ValidationError) -> AppError:
    """CL-1415 with the names of the fields and what is wrong with each; never with a value that was sent."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(str(part)[:40] for part in p['loc']) or 'body'}: {p['type']}" for p in problems]
    return AppError("CL-1415", details={"problems": lines[:_SHOWN_PROBLEMS]})


def message_read(model: type[M], body: bytes, *, reads: str | None = None) -> M:
    """The body as a message of the contract, or CL-1415; CL-1407 where a newer worker may know a field that we do not.

    `reads` is the header in which the worker tells the newest version that it knows.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = refusal(error)
        protocol.form_check(found, told=told_version(reads))
        raise found from error


def message_from(model: type[M], values: dict[str, Any]) -> M:
    """A query's values as a message of the contract, or CL-1415."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise refusal(error) from error


def size_check(value: object, *, limit: int, field: str) -> None:
    """Refuse (CL-1802) a free-form field whose JSON is longer than `limit` bytes."""
    if len(value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value)) > limit:
        raise AppError("CL-1802", f"The field {field} is larger than {limit} bytes.")


def answer(request: HttpRequest, message: BaseModel | None = None) -> HttpResponse:
    """A message as JSON, in the version that the worker reads; without one an empty object."""
    version = protocol.shared_version(request.headers.get(HEADER_PROTOCOL))
    response = JsonResponse(message_form(message, version) if message is not None else {})
    response[HEADER_PROTOCOL] = str(protocol.NEWEST)
    return response
