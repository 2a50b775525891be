"""Routes of the worker-facing API: signed requests, strict bodies."""

from __future__ import annotations

from django.urls import path

from webapp.fleet.worker_api import enrolment, runs

app_name = "worker"
urlpatterns = [
    path("enrol", enrolment.enrol, name="enrol"),
    path("rotate", enrolment.rotate, name="rotate"),
    path("leave", enrolment.leave, name="leave"),
    path("datasets", enrolment.datasets, name="datasets"),
    path("models", enrolment.models, name="models"),
    path("witness", enrolment.witness, name="witness"),
    path("assignments", runs.assignments, name="assignments"),
    path("runs/<pub:run_id>/verdict", runs.verdict, name="verdict"),
    path("runs/<pub:run_id>/claim", runs.claim, name="claim"),
    path("runs/<pub:run_id>/ready", runs.ready, name="ready"),
    path("runs/<pub:run_id>/telemetry", runs.telemetry, name="telemetry"),
    path("runs/<pub:run_id>/exit", runs.ended, name="exit"),
    path("runs/<pub:run_id>/verified", runs.verified, name="verified"),
    path("runs/<pub:run_id>/segments/<slug:name>", runs.segment, name="segment"),
    path("runs/<pub:run_id>/tokenizer/<str:name>", runs.tokenizer, name="tokenizer"),
    path("runs/<pub:run_id>/adapters/<pub:adapter_id>", runs.adapter_archive, name="adapter_archive"),
]
