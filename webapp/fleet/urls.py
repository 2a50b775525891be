"""Pages of the fleet."""

from __future__ import annotations

from django.urls import path

from webapp.fleet.views import enrolment, workers

app_name = "fleet"
urlpatterns = [
    path("org/workers", workers.workers, name="workers"),
    path("workers/new", enrolment.enrol, name="enrol"),
    path("workers/enrolments/<str:token_id>", enrolment.enrolment, name="enrolment"),
    path("workers/enrolments/<str:token_id>/revoke", enrolment.enrolment_revoke, name="enrolment_revoke"),
    path("workers/<str:worker_id>", workers.worker, name="worker"),
    path("workers/<str:worker_id>/edit", workers.worker_edit, name="edit"),
    path("workers/<str:worker_id>/confirm", workers.confirm, name="confirm"),
    path("workers/<str:worker_id>/quarantine", workers.quarantine, name="quarantine"),
    path("workers/<str:worker_id>/release", workers.release, name="release"),
    path("workers/<str:worker_id>/revoke", workers.revoke, name="revoke"),
]
