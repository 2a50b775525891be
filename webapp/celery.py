"""The hub's own Celery: joining adapters, mail, and the sweep that notices silence."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery
from celery.signals import beat_embedded_init

from processes.children import tether

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.local")

app = Celery("webapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "sweep-silent-participants": {"task": "webapp.runs.tasks.sweep", "schedule": 5.0},
    "delete-leftovers": {"task": "webapp.adapters.tasks.delete_leftovers", "schedule": 3600.0},
    "forget-spent-nonces": {"task": "webapp.fleet.tasks.forget_nonces", "schedule": 300.0},
}

_tether = tether(signal.SIGKILL)


@beat_embedded_init.connect
def _end_with_the_worker(**_: Any) -> None:
    """The embedded beat is a fork of the Celery process and would outlive it where that is killed."""
    _tether()
