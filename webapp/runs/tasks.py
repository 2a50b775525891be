"""Periodic work of runs."""

from __future__ import annotations

from celery import shared_task

from webapp.runs import sweeping


@shared_task
def sweep() -> None:
    """Look for silent workers and overdue states."""
    sweeping.sweep()
