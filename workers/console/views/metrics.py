"""The worker's figures for Prometheus: jobs, what waits for the hub, its queue, its disk."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from processes.insight import insight_token, may_look
from processes.redis_server import plain_url, url_of_folder
from workers.outbox.spool import Spool
from workers.settings import WorkerHome

conf: Any = settings  # the console's own settings, which the type checker does not know
STATES = ("rung", "running", "exited")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For programs on this machine, and for who has the token; there is nothing here for others."""
    home = WorkerHome(Path(conf.HOME))
    token = insight_token(home.root)
    if not may_look(address=str(request.META.get("REMOTE_ADDR", "")), headers=request.headers, token=token):
        raise Http404
    return HttpResponse(generate_latest(_figures(home)), content_type=CONTENT_TYPE_LATEST)


def _figures(home: WorkerHome) -> CollectorRegistry:
    registry, spool = CollectorRegistry(), Spool(home.spool_file)
    jobs = Gauge("cutlayer_worker_jobs", "Jobs of this worker, by state.", ["state"], registry=registry)
    counted = Counter(str(job.state) for job in spool.jobs())
    for state in {*STATES, *counted}:
        jobs.labels(state).set(counted[state])
    _gauge(registry, "messages_waiting", "Batches and messages not yet accepted by the hub.", _waiting(spool))
    _gauge(registry, "queue_up", "Whether the local queue responds.", _queue_answers(home))
    _gauge(
        registry, "disk_free_bytes", "Free bytes where the worker keeps its files.", shutil.disk_usage(home.root).free
    )
    return registry


def _queue_answers(home: WorkerHome) -> float:
    url = os.environ.get("REDIS_URL") or url_of_folder(home.run)
    try:
        with redis.Redis.from_url(plain_url(url), socket_timeout=1) as client:
            return float(bool(client.ping()))
    except (redis.RedisError, OSError):
        return 0.0


def _waiting(spool: Spool) -> float:
    return float(sum(len(pending.records) for pending in spool.pending()) + len(spool.outbox()))


def _gauge(registry: CollectorRegistry, name: str, text: str, value: float) -> None:
    Gauge(f"cutlayer_worker_{name}", text, registry=registry).set(value)
