"""Pages of the fleet."""

from __future__ import annotations

from django.urls import path

from webapp.fleet.views import enrolment, workers

app_name = "fleet"
urlpatterns = [
    path("org/workers", workers.workers, name="workers"),
    path("workers/new", enrolment.enrol, name="enrol"),
    path("workers/enrolments/<pub:token_id>", enrolment.enrolment, name="enrolment"),
    path("workers/enrolments/<pub:token_id>/revoke", enrolment.enrolment_revoke, name="enrolment_revoke"),
    path("workers/<pub:worker_id>", workers.worker, name="worker"),
    path("workers/<pub:worker_id>/edit", workers.worker_edit, name="edit"),
    path("workers/<pub:worker_id>/confirm", workers.confirm, name="confirm"),
    path("workers/<pub:worker_id>/quarantine", workers.quarantine, name="quarantine"),
    path("workers/<pub:worker_id>/release", workers.release, name="release"),
    path("workers/<pub:worker_id>/revoke", workers.revoke, name="revoke"),
]
