"""How fast this machine computes: a matrix product of a third of a second, measured once and remembered.

`python -m workers.speed` measures and prints JSON. It is a process of its own, so that neither the agent nor the doctor
loads numpy, or torch where there is a GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from workers.contracts import WorkerSpeed
from workers.settings import WorkerHome

ROWS, WIDTH = 512, 1024  # the product of one layer for a batch of 512 tokens
SECONDS = 0.3
TIMEOUT = 120.0  # importing torch from a cold disk, on a GPU site


def find_speed(home: WorkerHome) -> WorkerSpeed | None:
    """This machine's speed, measured now if it is not known yet; none where it cannot be measured."""
    known = known_speed(home)
    if known is not None:
        return known
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "workers.speed"], capture_output=True, text=True, timeout=TIMEOUT, check=True
        )
        speed = WorkerSpeed.model_validate_json(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValidationError):
        return None
    draft = home.speed_file.with_suffix(".part")
    draft.write_text(json.dumps({"machine": _machine(), "speed": speed.model_dump()}))
    draft.replace(home.speed_file)
    return speed


def known_speed(home: WorkerHome) -> WorkerSpeed | None:
    """What was measured on this very machine; none before, and none after its processors have changed."""
    try:
        stored = json.loads(home.speed_file.read_text())
        return WorkerSpeed.model_validate(stored["speed"]) if stored["machine"] == _machine() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def human_rate(rate: float) -> str:
    """Operations a second for people: 84 GFLOP/s, 31 TFLOP/s."""
    return f"{rate / 1e12:.3g} TFLOP/s" if rate >= 1e12 else f"{rate / 1e9:.3g} GFLOP/s"


def measure() -> WorkerSpeed:
    """Measure the GPU where the driver lists one and torch can use it, else the processors."""
    return (_measure_gpu() if shutil.which("nvidia-smi") else None) or _measure_cpu()


def _machine() -> dict[str, Any]:
    """What, when it changes, makes an old figure worthless."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {"cpus": os.cpu_count(), "threads": threads, "gpu": shutil.which("nvidia-smi") is not None}


def _measure_cpu() -> WorkerSpeed:
    import numpy as np

    left, right = np.ones((ROWS, WIDTH), np.float32), np.ones((WIDTH, WIDTH), np.float32)
    out = np.empty((ROWS, WIDTH), np.float32)
    return WorkerSpeed(device="cpu", float32=_rate(lambda: np.matmul(left, right, out=out), 2.0 * ROWS * WIDTH**2))


def _measure_gpu() -> WorkerSpeed | None:
    import torch

    if not torch.cuda.is_available():
        return None
    rows, width = 8 * ROWS, 4 * WIDTH  # large enough to fill a GPU
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.ones((n, width), dtype=dtype, device="cuda") for n in (rows, width))

        def product(left: torch.Tensor = left, right: torch.Tensor = right) -> None:
            left @ right
            torch.cuda.synchronize()

        rates[dtype] = _rate(product, 2.0 * rows * width**2)
    return WorkerSpeed(device="gpu", float32=rates[torch.float32], bfloat16=rates[torch.bfloat16])


def _rate(work: Callable[[], object], operations: float) -> float:
    """Operations a second of the fastest of many tries: what else the machine does at the time only slows it down."""
    work()  # the first call sets up
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return operations / best


if __name__ == "__main__":
    sys.stdout.write(measure().model_dump_json())
