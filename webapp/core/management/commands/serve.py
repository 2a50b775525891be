"""`manage.py serve`: the whole hub on one machine: Redis (found or started), Celery with its beat, the web server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from processes.children import end_child, start_child
from processes.redis_server import redis_url

_CHECK_SECONDS = 0.5


class Command(BaseCommand):
    """Starts the hub's processes, starts a dead one again, and ends them all with itself."""

    help = "Run the whole hub on this machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--no-migrate", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until TERM or INT."""
        self.ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ending.set())
        logs = Path(settings.VAR_DIR) / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        if not options["no_migrate"]:
            call_command("migrate", interactive=False, verbosity=0)
        self.stdout.write(f"The hub: http://{options['host']}:{options['port']}   logs: {logs}")
        if settings.EMAIL_BACKEND.endswith("filebased.EmailBackend"):
            self.stdout.write(f"No mail server is set: mails are written to {settings.EMAIL_FILE_PATH}")
        with redis_url(log=logs / "redis.log") as url:
            self._supervise(self._commands(options["host"], options["port"]), {**os.environ, "REDIS_URL": url}, logs)

    def _commands(self, host: str, port: int) -> dict[str, list[str]]:
        schedule = Path(settings.VAR_DIR) / "beat-schedule"
        celery = [sys.executable, "-m", "celery", "-A", "webapp", "worker", "--pool=solo", "-B", "-s", str(schedule)]
        web = [sys.executable, "-m", "uvicorn", "webapp.asgi:application", "--host", host, "--port", str(port)]
        return {
            "celery": [*celery, "--loglevel=WARNING", "--without-gossip", "--without-mingle", "-Q", "celery"],
            # An upgrade with "deflate" is a way to make a small frame large, so it is not negotiated.
            "web": [*web, "--no-access-log", "--ws-max-size", "1048576", "--ws-per-message-deflate", "false"],
        }

    def _supervise(self, commands: dict[str, list[str]], env: dict[str, str], logs: Path) -> None:
        children: dict[str, subprocess.Popen[bytes]] = {}
        quick_deaths = 0
        try:
            while not self.ending.is_set():
                for name, command in commands.items():
                    child = children.get(name)
                    if child is not None and child.poll() is None:
                        continue
                    if child is not None:
                        quick_deaths += 1
                        if quick_deaths > 20:
                            raise CommandError(f"{name} ends again and again; its log is {logs / f'{name}.log'}")
                    with (logs / f"{name}.log").open("ab") as log:
                        children[name] = start_child(command, env=env, cwd=settings.BASE_DIR, output=log)
                self.ending.wait(_CHECK_SECONDS)
        finally:
            for child in children.values():
                end_child(child, grace=3.0)
