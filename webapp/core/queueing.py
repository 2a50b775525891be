"""Tasks for the hub's own Celery: sent on commit, and never a reason for a write to fail."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task
from django.db import transaction

from webapp.celery import app

logger = logging.getLogger(__name__)


def enqueue_on_commit(task: Task | str, *arguments: Any) -> None:
    """Send a task, or the one of that name, once the transaction has committed.

    Where the broker is away, the sweep sends it again.
    """
    transaction.on_commit(lambda: _enqueue(task, arguments))


def _enqueue(task: Task | str, arguments: tuple[Any, ...]) -> None:
    name = task if isinstance(task, str) else task.name
    try:
        if isinstance(task, str):
            app.send_task(task, arguments, retry=False)
        else:
            task.apply_async(arguments, retry=False)
    except Exception as error:  # kombu's, redis' and the system's errors have no common base
        logger.warning("task %s was not sent (%s); the sweep sends it again", name, type(error).__name__)
