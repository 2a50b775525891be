"""The REST API: each app's router under one roof, with one form of error."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI

from splitcore.errors import AppError
from webapp.accounts.api import router as accounts_router
from webapp.adapters.api import router as adapters_router
from webapp.audit.api import router as audit_router
from webapp.core.errors import http_status
from webapp.datasets.api import router as datasets_router
from webapp.fleet.api import router as fleet_router
from webapp.orgs.api import router as orgs_router
from webapp.projects.api import router as projects_router
from webapp.runs.api import router as runs_router
from webapp.telemetry.api import router as telemetry_router

api = NinjaAPI(title="Cutlayer", version="1", urls_namespace="api", docs_url=None)


@api.exception_handler(AppError)
def answer_app_error(request: HttpRequest, error: AppError) -> HttpResponse:
    """Code, message, remedy, details."""
    return api.create_response(request, error.to_dict(), status=http_status(error.code))


api.add_router("", accounts_router)
api.add_router("/organisations", orgs_router)
api.add_router("/projects", projects_router)
api.add_router("/workers", fleet_router)
api.add_router("/datasets", datasets_router)
api.add_router("/runs", runs_router)
api.add_router("/runs", telemetry_router)
api.add_router("/adapters", adapters_router)
api.add_router("/audit", audit_router)
