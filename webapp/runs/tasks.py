"""Background work of runs: doorbells with a run's id, which may be rung twice, and the periodic sweep."""

from __future__ import annotations

from celery import shared_task

from webapp.core.health import sweep_done
from webapp.runs import sweeping
from webapp.runs.finishing.joining import adapter_join
from webapp.runs.finishing.packaging import adapter_package


@shared_task
def sweep() -> None:
    """Look for silent workers and overdue states."""
    sweeping.sweep()
    sweep_done()


@shared_task
def join(run_id: str) -> None:
    """Join the segments of a finishing run."""
    adapter_join(run_id)


@shared_task
def package(run_id: str) -> None:
    """Build the downloads and end the run."""
    adapter_package(run_id)
