"""Ctrl-C while a command loads its modules: one calm line and status 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processes.redis_server import free_port

REPO = Path(__file__).resolve().parents[2]
# Loading the named module waits in the middle of the command's imports, after it has said so.
WAIT = """
import sys, signal, importlib.abc
class Waiting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            print("loading", flush=True)
            while True: signal.pause()
sys.meta_path.insert(0, Waiting())
"""
COMMANDS = {
    "cutlayer": (["-c", "from workers.command import main; main()"], "typer"),
    "manage.py": (["manage.py", "check"], "django"),
    "serve": (["manage.py", "serve", "--port", str(free_port())], "webapp.core.apps"),
    "demo": (["-m", "demo", "--once"], "rich.console"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_during_the_imports_is_one_line(command: str, tmp_path: Path) -> None:
    arguments, module = COMMANDS[command]
    (tmp_path / "sitecustomize.py").write_text(WAIT.format(module=module))
    path = os.pathsep.join([str(tmp_path), str(REPO)])
    child = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "CUTLAYER_VAR_DIR": str(tmp_path / "var")},
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "loading\n"
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130
    assert said == "\nStopped before it began.\n"
