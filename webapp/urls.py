"""Every route of the hub."""

from __future__ import annotations

from django.urls import include, path

from webapp.api import api
from webapp.core.views import too_many_requests

handler404 = "webapp.core.views.not_found"
handler500 = "webapp.core.views.server_error"
urlpatterns = [
    # First, since the pages' lists have no prefix by which they could be passed over, and machines ask most.
    path("api/worker/v1/", include("webapp.fleet.worker_urls")),
    path("api/v1/", api.urls),
    path("", include("webapp.core.urls")),
    path("accounts/", include("allauth.urls")),
    path("", include("webapp.accounts.urls")),
    path("", include("webapp.orgs.urls")),
    path("", include("webapp.projects.urls")),
    path("", include("webapp.fleet.urls")),
    path("", include("webapp.datasets.urls")),
    path("", include("webapp.runs.urls")),
    path("", include("webapp.telemetry.urls")),
    path("", include("webapp.adapters.urls")),
    path("", include("webapp.audit.urls")),
]

handler429 = too_many_requests  # allauth's limits of signing up, resets and changes of an account
