"""Site-local Celery: a doorbell with ids, acknowledged at once, no results. It loads neither torch nor Django."""

from __future__ import annotations

import os

from celery import Celery

from processes.redaction import redact_logs
from workers import contracts
from workers.jobs.supervise import supervise as supervise_job
from workers.settings import WorkerHome

BROKER_VARIABLE = "CUTLAYER_WORKER_BROKER"

redact_logs()
app = Celery("cutlayer-worker", broker=os.environ.get(BROKER_VARIABLE, "redis://127.0.0.1:1/0"))
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    task_default_queue=contracts.QUEUE,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)


@app.task(name=contracts.TASK_SUPERVISE)  # type: ignore[untyped-decorator]
def supervise(run_id: str, job_id: str) -> None:
    """Answer the doorbell: claim the job and watch over its process until that is gone."""
    supervise_job(WorkerHome.find(), run_id, job_id)
