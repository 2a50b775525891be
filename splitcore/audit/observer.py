"""Starts the attacker's process and takes its answers. Torch-free."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from processes.children import end_child, start_child
from splitcore.audit.request import ANSWERS, RECORDING, Answer, Request
from splitcore.errors import AppError

LOG = "attacker.log"
logger = logging.getLogger(__name__)


def answers_of(request: Request, recording: Path, folder: Path, *, on_line: Callable[[str], None]) -> list[Answer]:
    """Have one observer attack `recording`, which is moved into the observer's new `folder`.

    `on_line` is called with a line for each attack that is done; what it raises ends the attacker. Raises AppError
    CL-1551 where the process ends before it has answered.
    """
    folder.mkdir(mode=0o700, parents=True)
    recording.replace(folder / RECORDING)
    request.write(folder)
    with (folder / LOG).open("wb") as log:
        child = start_child(
            [sys.executable, "-m", "splitcore.audit.attacker", folder.resolve()],
            env=_plain_environment(),
            cwd=folder,
            stdin=subprocess.PIPE,
            output=subprocess.PIPE,
            errors=log,
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                on_line(line.decode(errors="replace").strip())
            status = child.wait()
        finally:
            end_child(child)
    if status:
        logger.error("the attacker ended with status %s: %s", status, _end_of(folder / LOG))
        raise AppError("CL-1551", details={"status": status})
    with (folder / ANSWERS).open(encoding="utf-8") as file:
        return [Answer.model_validate_json(line) for line in file]


def _plain_environment() -> dict[str, str]:
    """Where Python and its modules are, and how many threads compute: nothing that a party's process has besides."""
    kept = {
        "PATH",
        "PYTHONPATH",
        "HOME",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "OMP_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
        "LANG",
    }
    own = {name: value for name, value in os.environ.items() if name in kept or _is_of_cache(name)}
    return {**own, "HF_HUB_OFFLINE": "1"}


def _is_of_cache(name: str) -> bool:
    return name.startswith("HF_") and "TOKEN" not in name


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
