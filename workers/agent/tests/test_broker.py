"""The site's queue: private, back at the same address, and its losses are noticed once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from processes.private_files import first_lax
from processes.redis_server import RedisServer, plain_url
from workers.agent.broker import Broker
from workers.settings import WorkerHome


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.delenv("REDIS_URL", raising=False)
    home = WorkerHome(tmp_path)
    home.create()
    broker = Broker(home)
    broker.start()
    broker.mark()
    yield broker
    broker.stop()


def client(broker: Broker) -> redis.Redis:
    return redis.Redis.from_url(plain_url(broker.url))


def test_an_emptied_queue_is_noticed_once(broker: Broker) -> None:
    assert not broker.was_emptied()
    client(broker).flushall()
    assert broker.was_emptied()
    assert not broker.was_emptied()


def test_a_killed_queue_comes_back_at_its_address(broker: Broker) -> None:
    url = broker.url
    assert broker.server is not None
    assert broker.server.process is not None
    broker.server.process.send_signal(signal.SIGKILL)
    broker.server.process.wait()
    assert not broker.is_running()
    assert not broker.was_emptied(), "what is away is started again, not counted as emptied"
    broker.start()
    assert broker.url == url
    assert client(broker).ping()


def test_a_site_s_own_server_that_lost_its_messages_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = RedisServer(tmp_path / "own")
    own.start()
    monkeypatch.setenv("REDIS_URL", own.url)
    broker = Broker(WorkerHome(tmp_path))
    broker.start()
    broker.mark()
    assert broker.server is None
    assert broker.is_running()
    own.stop()
    own.start()
    assert broker.was_emptied()
    own.stop()


def test_the_queue_leaves_nothing_open_to_other_accounts(broker: Broker, tmp_path: Path) -> None:
    assert (tmp_path / "run" / "redis.conf").exists()
    assert first_lax(tmp_path / "run") is None


def test_looking_again_and_again_takes_one_connection(broker: Broker) -> None:
    before = client(broker).info("stats")["total_connections_received"]
    for _ in range(20):
        broker.was_emptied()
    assert client(broker).info("stats")["total_connections_received"] <= before + 2, "one of them is this look's own"
