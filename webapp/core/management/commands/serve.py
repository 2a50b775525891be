"""`manage.py serve`: the whole hub on one machine: Redis (found or started), Celery with its beat, the web server."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from processes.children import start_child
from processes.ports import own_address
from processes.private_files import close_new_files
from processes.redis_server import RedisNotFoundError, RedisNotStartedError, RedisServer
from processes.supervisor import NeverStaysError, Supervisor
from splitcore.errors import AppError
from webapp.backups.replacing import check_no_restore_was_cut_off
from webapp.core.folder import only_one, prepare
from webapp.core.outages import StandstillError
from webapp.listening import add_address, address_check
from webapp.settings.redis import run_folder

_CHECK_SECONDS = 0.25


class Command(BaseCommand):
    """Starts the hub's processes, starts a dead one again, and ends them all with itself."""

    help = "Run the whole hub on this machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen."""
        add_address(parser)
        parser.add_argument("--no-migrate", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until TERM or INT."""
        ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ending.set())
        close_new_files()
        host, port = options["host"], options["port"]
        var_dir = Path(settings.VAR_DIR)
        with ExitStack() as held:
            try:
                held.enter_context(only_one(var_dir))
                check_no_restore_was_cut_off()
                address_check(host, port)
            except (AppError, StandstillError) as error:
                raise CommandError(str(error)) from None
            logs = prepare(var_dir)
            if not options["no_migrate"]:
                call_command("migrate", interactive=False, verbosity=0)
            self._serve(host, port, logs, ending)

    def _serve(self, host: str, port: int, logs: Path, ending: threading.Event) -> None:
        env = hub_environment(host, port)
        members: dict[str, Callable[[], Popen[bytes]]] = {}
        if "REDIS_URL" not in env:
            queue = RedisServer(run_folder(Path(settings.VAR_DIR)), log=logs / "redis.log")
            env["REDIS_URL"] = queue.url
            members["redis"] = queue.start
        for name, command in commands(host, port).items():
            members[name] = _starter(command, env, logs / f"{name}.log")
        supervisor = Supervisor(members)
        try:
            supervisor.look()
            self._greet(env["CUTLAYER_BASE_URL"], logs)
            while not ending.wait(_CHECK_SECONDS):
                supervisor.look()
        except NeverStaysError as error:
            raise CommandError(f"{error} keeps exiting. Its log is {logs / f'{error}.log'}") from None
        except (RedisNotFoundError, RedisNotStartedError) as error:
            raise CommandError(f"{error} Its log is {logs / 'redis.log'}") from None
        finally:
            supervisor.end(grace=3.0)

    def _greet(self, address: str, logs: Path) -> None:
        logging.basicConfig(level=logging.WARNING)
        self.stdout.write(f"The hub: {address}   logs: {logs}")
        if settings.EMAIL_BACKEND.endswith("PrivateFileBackend"):
            self.stdout.write(f"No mail server is set. E-mails are written to {settings.EMAIL_FILE_PATH}")


def hub_environment(host: str, port: int) -> dict[str, str]:
    """What the hub's processes are told: links and commands carry the address at which this hub listens."""
    env = dict(os.environ)
    if not env.get("CUTLAYER_BASE_URL"):
        env["CUTLAYER_BASE_URL"] = own_address(host, port)
    if not env.get("REDIS_URL"):
        env.pop("REDIS_URL", None)
    return env


def commands(host: str, port: int) -> dict[str, list[str]]:
    """The hub's own processes."""
    celery = [sys.executable, "-m", "celery", "-A", "webapp", "worker", "--pool=solo", "-B"]
    # The beat keeps its times in memory: its periods are minutes at most, and a full disk would end one with a file.
    celery += ["--scheduler", "celery.beat.Scheduler"]
    web = [sys.executable, "-m", "uvicorn", "webapp.asgi:application", "--host", host, "--port", str(port)]
    # By itself uvicorn believes every process of this machine whom it speaks for; the throttles count by address.
    proxy = settings.PROXY_ADDRESSES
    web += ["--proxy-headers", "--forwarded-allow-ips", ",".join(proxy)] if proxy else ["--no-proxy-headers"]
    return {
        "celery": [*celery, "--loglevel=WARNING", "--without-gossip", "--without-mingle", "-Q", "celery"],
        # An upgrade with "deflate" is a way to make a small frame large, so it is not negotiated.
        "web": [*web, "--no-access-log", "--ws-max-size", "1048576", "--ws-per-message-deflate", "false"],
    }


def _starter(command: list[str], env: dict[str, str], log: Path) -> Callable[[], Popen[bytes]]:
    def start() -> Popen[bytes]:
        with log.open("ab") as output:
            return start_child(command, env=env, cwd=settings.BASE_DIR, output=output)

    return start
