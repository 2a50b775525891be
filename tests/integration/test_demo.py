"""The demo as a stranger runs it: the main job with a checked adapter, and no process left however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from processes.redis_server import free_port
from tests.stack import wait_for

REPO = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.integration


def processes_below(folder: Path) -> list[psutil.Process]:
    """Every process that works for the demo in `folder`, found by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        homes = (environment.get("CUTLAYER_VAR_DIR", ""), environment.get("CUTLAYER_WORKER_HOME", ""))
        if any(home.startswith(str(folder)) for home in homes) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.mark.timeout(1800)  # other tests share the machine
def test_the_demo_trains_together_better_than_apart_and_its_adapter_loads_anywhere(tmp_path: Path) -> None:
    summary_file = tmp_path / "demo.json"
    # Nobody watches: the held-out rows are measured at each run's start and end alone, which changes no weight.
    arguments = f"--once --eval-every 0 --json {summary_file} --port {free_port()} --folder {tmp_path / 'demo'}"
    done = subprocess.run(
        ["make", "demo", f"ARGS={arguments}"], cwd=REPO, capture_output=True, text=True, timeout=1780, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary: dict[str, Any] = json.loads(summary_file.read_text())
    assert summary["ok"] is True
    assert summary["loss_after"] < 0.5 * summary["loss_before"]
    assert summary["adapter"]["loads"] is True
    assert summary["adapter"]["max_difference"] < 0.5
    assert summary["bytes"]["uplink"] > 0
    assert summary["bytes"]["downlink"] > 0
    for domain, row in summary["domains"].items():
        assert row["together"]["exact_match"] > row["base"]["exact_match"] + 0.3, domain
        assert row["together"]["exact_match"] > row["other"]["exact_match"] + 0.3, domain
        assert row["together"]["exact_match"] > row["own"]["exact_match"] - 0.2, domain
        assert row["together"]["loss"] < 0.5 * min(row["base"]["loss"], row["other"]["loss"]), domain
    assert processes_below(tmp_path / "demo") == []


def start_demo(folder: Path) -> subprocess.Popen[bytes]:
    """The launcher, as `make demo` starts it."""
    command = [sys.executable, "-m", "demo", "--port", str(free_port()), "--folder", str(folder)]
    return subprocess.Popen(
        command,
        cwd=REPO,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_no_process_outlives_the_launcher_whether_it_is_killed_or_told_to_end(tmp_path: Path) -> None:
    ways = {signal.SIGKILL: tmp_path / "killed", signal.SIGTERM: tmp_path / "ended"}
    launchers = {number: start_demo(folder) for number, folder in ways.items()}  # side by side
    try:
        for number, launcher in launchers.items():
            # A hub, its three servants, a site and its two: the launcher is in the midst of enrolling the others.
            wait_for(lambda folder=ways[number]: len(processes_below(folder)) >= 7, seconds=300, what="its processes")
            launcher.send_signal(number)
        for number, launcher in launchers.items():
            launcher.wait(60)
            deadline = time.monotonic() + 30
            while (left := processes_below(ways[number])) and time.monotonic() < deadline:
                psutil.wait_procs(left, timeout=0.5)
            assert left == [], [number.name, *(process.cmdline() for process in left)]
    finally:
        for launcher in launchers.values():
            launcher.terminate()
            launcher.wait(60)
