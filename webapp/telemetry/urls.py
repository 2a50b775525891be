"""A run's live data."""

from __future__ import annotations

from django.urls import path

from webapp.telemetry import views

app_name = "telemetry"
urlpatterns = [
    path("runs/<pub:run_id>/snapshot.json", views.snapshot, name="snapshot"),
    path("runs/<pub:run_id>/records.json", views.records, name="records"),
    path("runs/<pub:run_id>/metrics.csv", views.metrics_csv, name="metrics_csv"),
    path("runs/<pub:run_id>/metrics.json", views.metrics_json, name="metrics_json"),
]
