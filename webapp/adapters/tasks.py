"""Periodic work of adapters."""

from __future__ import annotations

from celery import shared_task

from webapp.adapters.services.leftovers import leftovers_delete


@shared_task
def delete_leftovers() -> None:
    """Delete the unfinished files of processes that were killed."""
    leftovers_delete()
