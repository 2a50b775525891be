"""/health names what is unhealthy and says it to load balancers; /metrics has figures; others learn neither."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.cache import cache
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from prometheus_client.parser import text_string_to_metric_families

from processes.redis_server import RedisServer
from webapp.core import health, storage_errors
from webapp.core.middleware import AppErrorMiddleware
from webapp.runs import tasks
from webapp.settings.redis import connection_options

pytestmark = pytest.mark.django_db
STRANGER = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch) -> None:
    cache.clear()
    monkeypatch.setattr(health, "_seen", {"sweep": 0.0})
    monkeypatch.setattr(health, "_started_at", time.time())  # else a long test session counts as a late sweep
    monkeypatch.setattr(storage_errors, "_last_at", [])


@pytest.fixture
def server(tmp_path: Path, settings) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    settings.REDIS_URL = server.url
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": server.url,
            "OPTIONS": {"serializer": "webapp.core.cache_form.JsonSerializer", **connection_options()},
        }
    }
    yield server
    server.stop()


def figures() -> dict[str, float]:
    text = Client().get("/metrics").content.decode()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {" ".join([one.name, *one.labels.values()]): one.value for one in samples}


def unhealthy() -> set[str]:
    answer = Client().get("/health")
    body = answer.json()
    found = {name for name, part in body["parts"].items() if not part["healthy"]}
    assert (answer.status_code, body["status"]) == ((503, "unhealthy") if found else (200, "ok"))
    return found


def test_a_hub_whose_parts_are_well_says_so() -> None:
    tasks.sweep()
    assert unhealthy() == set()
    assert Client().get("/health").json()["parts"]["celery"]["seconds_since_sweep"] < 5


def test_a_dead_message_store_is_named(server: RedisServer) -> None:
    assert unhealthy() == set()
    server.stop()
    assert unhealthy() == {"redis"}
    assert figures()["cutlayer_up redis"] == 0.0
    assert "cutlayer_queue_length" not in figures()


def test_a_celery_that_does_not_sweep_is_named(monkeypatch) -> None:
    cache.set(health.SWEEP_KEY, time.time() - 2 * health.SWEEP_LATE_SECONDS, None)
    assert unhealthy() == {"celery"}
    assert figures()["cutlayer_sweep_age_seconds"] > health.SWEEP_LATE_SECONDS


def test_a_celery_that_never_sweeps_is_named_once_the_hub_has_started(monkeypatch) -> None:
    assert unhealthy() == set()
    monkeypatch.setattr(health, "_started_at", time.time() - 2 * health.SWEEP_LATE_SECONDS)
    assert unhealthy() == {"celery"}


def test_a_flushed_store_is_no_dead_celery(server: RedisServer, monkeypatch) -> None:
    monkeypatch.setattr(health, "_started_at", 0.0)
    tasks.sweep()
    assert unhealthy() == set()
    redis.Redis.from_url(server.url).flushall()
    assert unhealthy() == set()


def test_too_little_room_is_named(settings) -> None:
    settings.MIN_FREE_BYTES = 10**18
    assert unhealthy() == {"disk"}


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-For": "127.0.0.1"}, {"Authorization": "Bearer wrong"}])
def test_a_stranger_learns_whether_the_hub_is_well_and_nothing_else(headers) -> None:
    client = Client()
    address = {"REMOTE_ADDR": "127.0.0.1"} if "X-Forwarded-For" in headers else STRANGER
    assert set(client.get("/health", headers=headers, **address).json()) == {"status"}
    assert client.get("/health/alive", headers=headers, **address).json() == {"status": "ok"}
    assert client.get("/metrics", headers=headers, **address).status_code == 404


def test_who_has_the_token_sees_the_figures(settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    client = Client()
    assert client.get("/metrics").status_code == 200
    token = (tmp_path / "metrics_token").read_text()
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"}, **STRANGER)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_figures_count_what_waits_runs_and_is_answered(server: RedisServer) -> None:
    redis.Redis.from_url(server.url).lpush("celery", "a", "b")
    before = figures().get("cutlayer_requests_total 404", 0.0)
    Client().get("/nowhere")
    now = figures()
    assert now["cutlayer_requests_total 404"] == before + 1
    assert now["cutlayer_queue_length"] == 2
    assert now["cutlayer_runs_live starting"] == 0
    assert {"cutlayer_workers silent", "cutlayer_workers online", "cutlayer_disk_free_bytes"} <= set(now)


def answered(error: Exception) -> HttpResponse:
    request = RequestFactory().post("/api/worker/v1/runs/run_x/telemetry")
    answer = AppErrorMiddleware(lambda _: HttpResponse()).process_exception(request, error)
    assert answer is not None
    return answer


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the limit is SQLite's")
def test_a_database_without_room_is_an_outage_with_a_code_and_an_alarm() -> None:
    rows = [(n, "x" * 32, str(n), "2026-01-01") for n in range(5000)]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
        try:
            with pytest.raises(OperationalError) as caught:
                cursor.executemany("INSERT INTO fleet_spentnonce VALUES (%s, %s, %s, %s)", rows)
        finally:
            connection.connection.execute("PRAGMA max_page_count = 1073741823")
    answer = answered(caught.value)
    assert (answer.status_code, json.loads(answer.content)["code"]) == (503, "CL-1904")
    assert answer.headers["Retry-After"]
    assert unhealthy() == {"disk"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_file_without_room_is_the_same_and_another_error_is_not(number: int) -> None:
    before = figures()["cutlayer_writes_refused_total"]
    wrapped = RuntimeError("while storing a segment")
    wrapped.__cause__ = OSError(number, "no room")
    assert answered(wrapped).status_code == 503
    assert figures()["cutlayer_writes_refused_total"] == before + 1
    assert AppErrorMiddleware(lambda _: HttpResponse()).process_exception(RequestFactory().get("/"), KeyError()) is None
