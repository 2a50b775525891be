"""idle_agents: 200 idle workers on one hub: seconds until all are online, what they take of memory and processor.

The hub is `manage.py serve`; one process plays the workers, with the worker's own code for the control connection and
for signed requests. All begin at once, as after a hub's restart. Online is what the hub's own figures count.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from demo.launch.groups import REPO, Groups, demo_groups
from processes.redis_server import free_port
from tests.benchmarks.children import child
from tests.benchmarks.frame import Scale, Table, figure, show
from tests.benchmarks.idle_load import play
from tests.integration.drills import child_of
from tests.stack import wait_for

MIB = 1024 * 1024
SETTLE_SECONDS = 5.0
PARTS = {"web": "uvicorn", "celery": "celery"}


@pytest.mark.promise(32, figure="benchmark; 4.1 s and 41 MiB on two cores, 10 s on slower ones; goal 5 s and 150 MiB")
def measure(scale: Scale) -> dict[str, Any]:
    """Several hubs, one after another."""
    agents, idle = scale.of(200, 20), scale.of(40, 10)
    found = []
    for _ in range(scale.of(3, 1)):
        with tempfile.TemporaryDirectory() as folder:
            found.append(idle_hub(Path(folder) / "groups", agents=agents, idle_seconds=idle))
    figures = {name: figure([one[name] for one in found]) for name in found[0]}
    return {"agents": agents, "idle_seconds": idle, **figures}


def idle_hub(root: Path, *, agents: int, idle_seconds: float) -> dict[str, float]:
    """One hub from its start; growth is that of resident memory over the hub without workers, after `idle_seconds`."""
    with demo_groups(port=free_port(), root=root) as groups:
        groups.start_hub()
        identities = _seed(groups, root / "identities.json", agents)
        with child(play, groups.hub_url, identities) as load:
            load.recv()  # ready
            _online(groups.hub_url)  # what the first look at the figures loads is no worker's
            time.sleep(SETTLE_SECONDS)
            parts = {name: _family(child_of(_hub(groups), word)) for name, word in PARTS.items()}
            before = {name: _resident(family) for name, family in parts.items()}
            cpu_before = _cpu(parts["web"])
            online = _until_online(groups.hub_url, load, agents)
            cpu = {name: _cpu(family) for name, family in parts.items()}
            start = time.monotonic()
            time.sleep(idle_seconds)
            passed = time.monotonic() - start
            found = {"online": online, "online_cpu": cpu["web"] - cpu_before}
            for name, family in parts.items():
                found[f"{name}_mib"] = (_resident(family) - before[name]) / MIB
                found[f"{name}_cpu"] = (_cpu(family) - cpu[name]) / passed
            return {**found, **_told(load, groups.hub_url, agents)}


def _seed(groups: Groups, file: Path, agents: int) -> list[tuple[str, str, str]]:
    command = [sys.executable, "-m", "tests.benchmarks.idle_seed", str(agents), str(file)]
    subprocess.run(command, cwd=REPO, env=groups.hub_environment(), check=True, timeout=300)
    found: list[tuple[str, str, str]] = json.loads(file.read_text())
    return found


def _until_online(url: str, load: Connection, agents: int) -> float:
    """Seconds from the first connection until every agent is online and has got its list."""
    start = time.monotonic()
    load.send("begin")
    wait_for(lambda: _online(url) == agents and _tally(load)["agents"] == agents, seconds=120, what="all agents")
    return time.monotonic() - start


def _told(load: Connection, url: str, agents: int) -> dict[str, float]:
    """What the agents met; all must still be online."""
    tally = _tally(load)
    assert _online(url) == agents, "an idle worker went offline"
    return {name: float(tally[name]) for name in ("looks", "refused", "look_p95")}


def _tally(load: Connection) -> dict[str, Any]:
    load.send("tally")
    found: dict[str, Any] = load.recv()
    return found


def _online(url: str) -> int:
    """How many workers the hub counts as online."""
    text = httpx.get(f"{url}/metrics", timeout=30).text
    found = re.search(r'cutlayer_workers\{state="online"\} (\d+)', text)
    return int(found[1]) if found else 0


def _hub(groups: Groups) -> psutil.Process:
    return psutil.Process(groups.children["hub"].pid)


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _resident(family: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in family)


def _cpu(family: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in family)


def rows(result: Mapping[str, Any]) -> Table:
    """The result for people."""
    return Table(
        f"{result['agents']} idle agents on one hub",
        ("", "value"),
        [
            ("all online after", show(result["online"], 2, " s")),
            ("CPU time of the web process until then", show(result["online_cpu"], 2, " s")),
            ("web process grows by", show(result["web_mib"], 1, " MiB")),
            ("Celery grows by", show(result["celery_mib"], 1, " MiB")),
            ("web process, part of a core", show(result["web_cpu"], 3)),
            ("Celery, part of a core", show(result["celery_cpu"], 3)),
            ("GET assignments, p95", show(result["look_p95"], 3, " s")),
            ("requests refused", show(result["refused"], 0)),
        ],
        f"goal for 200: 5 s, 150 MiB; idle for {result['idle_seconds']} s, a beat every 5 s, a look every 10 s",
    )
