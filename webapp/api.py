"""The REST API: each app's router under one roof, with one form of error."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import Http404, HttpRequest, HttpResponse
from ninja.errors import AuthenticationError, HttpError, ValidationError

from splitcore.errors import AppError
from webapp.accounts.api import router as accounts_router
from webapp.adapters.api import router as adapters_router
from webapp.audit.api import router as audit_router
from webapp.core.errors import headers_set, http_status
from webapp.core.rest_body import BodyParser
from webapp.datasets.api import router as datasets_router
from webapp.fleet.api import router as fleet_router
from webapp.openapi import DescribedAPI
from webapp.orgs.api import router as orgs_router
from webapp.projects.api import router as projects_router
from webapp.runs.api import router as runs_router
from webapp.telemetry.api import router as telemetry_router

api = DescribedAPI(
    title="Cutlayer",
    version="1",
    description="Split learning across organisations. All errors have the same form, and `/errors/CL-…` explains each "
    "code.",
    urls_namespace="api",
    docs_url=None,
    parser=BodyParser(),
)


@api.exception_handler(AppError)
def answer_app_error(request: HttpRequest, error: AppError) -> HttpResponse:
    """Code, message, remedy, details."""
    response = api.create_response(request, error.to_dict(), status=http_status(error.code))
    return headers_set(response, error)


@api.exception_handler(AuthenticationError)
def answer_not_signed_in(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """No valid token."""
    return answer_app_error(request, AppError("CL-1610"))


@api.exception_handler(Http404)
def answer_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    """What does not exist, or not for the caller."""
    return answer_app_error(request, AppError("CL-1611"))


@api.exception_handler(HttpError)
def answer_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """A body that could not be read."""
    cause = error.__cause__
    return answer_app_error(request, cause if isinstance(cause, AppError) else AppError("CL-1001", str(error)))


@api.exception_handler(ValidationError)
def answer_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Which field of the request is wrong, and how; what was sent is not repeated."""
    fields = [{"field": field_name(one["loc"]), "problem": one["msg"]} for one in error.errors]
    first = fields[0] if fields else {"field": "request", "problem": "not valid"}
    message = f"The request is not valid: {first['field']}: {first['problem']}."
    return answer_app_error(request, AppError("CL-1001", message, details={"fields": fields}))


def field_name(location: Sequence[str | int]) -> str:
    """The name by which the caller knows a field: without its place, and without our name for the body."""
    where, *names = location
    if where == "body":
        names = names[1:]
    return ".".join(map(str, names)) or str(where)


api.add_router("", accounts_router)
api.add_router("/organisations", orgs_router)
api.add_router("/projects", projects_router)
api.add_router("/workers", fleet_router)
api.add_router("/datasets", datasets_router)
api.add_router("/runs", runs_router)
api.add_router("/runs", telemetry_router)
api.add_router("/adapters", adapters_router)
api.add_router("/audit", audit_router)
