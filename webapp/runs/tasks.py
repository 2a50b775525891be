"""Periodic work of runs."""

from __future__ import annotations

from celery import shared_task

from webapp.core.health import sweep_done
from webapp.runs import sweeping


@shared_task
def sweep() -> None:
    """Look for silent workers and overdue states."""
    sweeping.sweep()
    sweep_done()
