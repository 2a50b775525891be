"""A half that is forked ends with the process that forked it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitcore.launch import process
from splitcore.launch.fork_server import _become_half


@pytest.mark.parametrize("alive", [True, False])
def test_half_runs_only_while_its_fork_server_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    ran = tmp_path / "ran"
    monkeypatch.setattr(process, "run_spec", lambda spec: 0 * ran.write_text("yes"))
    server = os.getpid() if alive else 1  # as if it had ended before the kernel was asked to watch it
    child = os.fork()
    if child == 0:
        _become_half(tmp_path / "spec.json", server)
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), ran.exists()) == ((0, True) if alive else (2, False))
