"""The hub's own Celery: joining adapters, mail, and the sweep that notices silence."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.local")

app = Celery("webapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "sweep-silent-participants": {"task": "webapp.runs.tasks.sweep", "schedule": 5.0},
    "forget-spent-nonces": {"task": "webapp.fleet.tasks.forget_nonces", "schedule": 300.0},
}
