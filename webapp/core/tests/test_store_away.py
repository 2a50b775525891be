"""The hub's Redis is away or holds something foreign: passwords are refused with a code, everything else goes on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.core.cache import caches
from django.test import Client

from processes.redis_server import RedisServer, celery_url
from webapp.accounts.scopes import Scope
from webapp.accounts.services import token_create
from webapp.core.queueing import enqueue_on_commit
from webapp.orgs.tests.factories import MembershipFactory
from webapp.settings.redis import connection_options


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def real_cache(server: RedisServer, settings) -> None:
    """The cache as the hub's settings have it."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": server.url,
            "OPTIONS": {"serializer": "webapp.core.cache_form.JsonSerializer", **connection_options()},
        }
    }


class Trap:
    """What a pickle would do to whoever loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_a_pickle_in_the_cache_is_never_loaded(server: RedisServer, real_cache: None, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    redis.Redis.from_url(server.url).set(":1:throttle:api-token:x", pickle.dumps(Trap(mark)))
    assert caches["default"].get("throttle:api-token:x") is None
    assert not mark.exists()


def test_the_cache_counts_and_keeps_what_throttles_need(real_cache: None) -> None:
    cache = caches["default"]
    assert cache.add("n", 1, 60)
    assert cache.incr("n") == 2
    cache.set("history", [1.5, 0.25], 60)
    assert (cache.get("n"), cache.get("history"), cache.add("lock", True, 60)) == (2, [1.5, 0.25], True)


def test_the_hubs_own_settings_keep_code_out_of_the_cache() -> None:
    from webapp.settings import base

    assert base.CACHES["default"]["OPTIONS"]["serializer"] == "webapp.core.cache_form.JsonSerializer"
    assert base.CELERY_ACCEPT_CONTENT == ["json"]


@pytest.mark.django_db
def test_a_password_is_refused_with_a_code_while_the_counters_are_away(server: RedisServer, real_cache: None) -> None:
    client, membership = Client(), MembershipFactory()
    membership.user.set_password("correct horse battery")
    membership.user.save()
    server.stop()
    fields = {"login": membership.user.email, "password": "correct horse battery"}
    answer = client.post("/accounts/login/", fields)
    assert answer.status_code == 503
    assert "CL-1901" in answer.content.decode()
    server.start()
    assert client.post("/accounts/login/", fields).status_code == 302


@pytest.mark.django_db
def test_a_token_is_taken_while_the_counters_are_away(server: RedisServer, real_cache: None) -> None:
    membership = MembershipFactory()
    _, secret = token_create(
        actor=membership.user, organisation=membership.organisation, name="t", scopes=[Scope.READ], days=1
    )
    server.stop()
    client = Client()
    assert client.get("/api/v1/runs", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    assert client.get("/api/v1/runs", headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_task_that_cannot_be_sent_is_no_error_of_the_request(server: RedisServer, caplog) -> None:
    server.stop()
    app = Celery("a hub", broker=celery_url(server.url))

    @app.task
    def sent(run_id: str) -> None:
        """Never runs."""

    enqueue_on_commit(sent, "run_x")
    assert "the sweep sends it again" in caplog.text
