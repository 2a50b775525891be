"""The queue's server takes its owner alone, keeps nothing, and comes back at the same address."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from processes import redis_server
from processes.redis_server import RedisServer, celery_url, find_binary, socket_for, with_password


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "run", log=tmp_path / "redis.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tcp_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """As where no closed folder has a short enough path."""
    monkeypatch.setattr(redis_server, "SOCKET_PATH_MAX", 0)
    server = RedisServer(tmp_path / "run")
    server.start()
    yield server
    server.stop()


def listens_on(server: RedisServer) -> set[str]:
    assert server.process is not None
    links = psutil.Process(server.process.pid).net_connections()
    return {link.laddr.ip for link in links if link.status == "LISTEN"}


def test_it_listens_on_a_socket_in_a_closed_folder_and_on_no_port(server: RedisServer, tmp_path: Path) -> None:
    client = redis.Redis.from_url(server.url)
    client.set("a", "b")
    assert client.config_get("save")["save"] == ""
    assert listens_on(server) == set()
    path = socket_for(tmp_path / "run")
    assert path is not None
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another account")
def test_another_account_does_not_reach_it(server: RedisServer, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    path = socket_for(tmp_path / "run")
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(path)],
        user=65534,
        group=65534,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in done.stderr


def test_on_a_port_it_takes_only_who_has_the_password(tcp_server: RedisServer, tmp_path: Path) -> None:
    url = tcp_server.url
    assert listens_on(tcp_server) == {"127.0.0.1"}
    assert redis.Redis.from_url(url).ping()
    stranger = redis.Redis.from_url("redis://127.0.0.1:" + url.rpartition(":")[2])
    with pytest.raises(redis.AuthenticationError):
        stranger.set("a", "b")
    assert tcp_server.process is not None
    password = url.partition("://:")[2].partition("@")[0]
    assert len(password) > 30
    assert password not in " ".join(psutil.Process(tcp_server.process.pid).cmdline())
    assert stat.S_IMODE((tmp_path / "run" / "redis.conf").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["server", "tcp_server"])
def test_a_killed_server_comes_back_where_it_was(kind: str, request: pytest.FixtureRequest) -> None:
    server: RedisServer = request.getfixturevalue(kind)
    client = redis.Redis.from_url(server.url)
    client.set("a", "b")
    assert server.process is not None
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    assert not server.is_running()
    server.start()
    assert client.get("a") is None


def test_where_the_path_is_too_long_another_closed_folder_is_taken(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / ("long" * 30) / "run")
    server.start()
    try:
        path = Path(server.url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= redis_server.SOCKET_PATH_MAX
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert redis.Redis.from_url(server.url).ping()
    finally:
        server.stop()
    assert not path.parent.exists()


def test_a_folder_that_somebody_else_has_laid_there_is_not_taken(tmp_path: Path, monkeypatch) -> None:
    runtime = tmp_path / "r"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(redis_server, "SOCKET_PATH_MAX", len(str(runtime)) + 40 + len("/redis.sock"))
    folder = tmp_path / ("long" * 30)
    first = socket_for(folder)
    assert first is not None
    assert first.is_relative_to(runtime)
    first.parent.chmod(0o755)
    second = socket_for(folder)
    assert second is None or not second.is_relative_to(runtime)


def test_urls_as_celery_and_compose_need_them() -> None:
    assert celery_url("unix:///var/x.sock") == "redis+socket:///var/x.sock"
    assert celery_url("redis://h:1/0") == "redis://h:1/0"
    assert with_password("redis://redis:6379/0", "a/b@c") == "redis://:a%2Fb%40c@redis:6379/0"
    assert os.access(find_binary(), os.X_OK)
