"""The hub's figures for Prometheus, looked up at each scrape, beside what this process counts."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from webapp.core.health import disk_free, look, sweep_age, sweep_failures
from webapp.core.registry import REGISTRY
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.presence import worker_is_online
from webapp.runs.models import Run
from webapp.runs.states import LIVE

QUEUE = "celery"


def exposition() -> bytes:
    """All of it in Prometheus' text format."""
    looked = CollectorRegistry()
    looked.register(_Looked())
    return generate_latest(REGISTRY) + generate_latest(looked)


class _Looked(Collector):
    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every figure, now. One that cannot be had is left out, so that its absence can be alarmed on."""
        yield _by("cutlayer_up", "Whether a component of the hub is healthy.", "part", _healthy())
        yield from _one("cutlayer_queue_length", "Tasks waiting for the hub's Celery worker.", queue_length())
        yield from _one("cutlayer_sweep_age_seconds", "Seconds since the last sweep.", sweep_age())
        yield from _one("cutlayer_sweep_failures", "Sweeps of a run that failed.", sweep_failures())
        yield from _one("cutlayer_disk_free_bytes", "Free bytes where the hub keeps its files.", disk_free())
        yield _by("cutlayer_workers", "Active workers that are online, and silent ones.", "state", _workers())
        yield _by("cutlayer_runs_live", "Runs that haven't ended, by state.", "state", _runs())


def queue_length() -> int | None:
    """Tasks that wait, or none where the message store is away."""
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=2) as client:
            return int(client.llen(QUEUE))  # type: ignore[arg-type]
    except (RedisError, OSError):
        return None


def _healthy() -> dict[str, float]:
    return {name: float(part.healthy) for name, part in look().items()}


def _workers() -> dict[str, float]:
    now = timezone.now()
    workers = list(Worker.objects.filter(state=WorkerState.ACTIVE).only("last_beat_at", "connected_at"))
    online = sum(worker_is_online(worker, now) for worker in workers)
    return {"online": float(online), "silent": float(len(workers) - online)}


def _runs() -> dict[str, float]:
    counted = Run.objects.filter(state__in=LIVE).values_list("state").annotate(count=Count("id"))
    found = {str(state): float(count) for state, count in counted}
    return {str(state): found.get(str(state), 0.0) for state in sorted(LIVE)}


def _by(name: str, text: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _one(name: str, text: str, value: float | None) -> Iterator[GaugeMetricFamily]:
    if value is not None:
        yield GaugeMetricFamily(name, text, value=value)
