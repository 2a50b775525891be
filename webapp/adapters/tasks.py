"""Background work of artefacts: doorbells with a run's id; both may be rung twice."""

from __future__ import annotations

from celery import shared_task

from webapp.adapters.services.joining import adapter_join
from webapp.adapters.services.packaging import adapter_package


@shared_task
def join(run_id: str) -> None:
    """Join the segments of a finishing run."""
    adapter_join(run_id)


@shared_task
def package(run_id: str) -> None:
    """Build the downloads and end the run."""
    adapter_package(run_id)
