"""Hardware and versions of this machine, found without loading torch."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from splitcore.bounds import plain_line
from workers.contracts import Gpu, WorkerFacts
from workers.settings import WorkerHome
from workers.speed import known_speed

_QUERY = "--query-gpu=name,memory.total,memory.free"


def gather_facts(home: WorkerHome, *, tensor_host: str, tensor_ports: tuple[int, int]) -> WorkerFacts:
    """What the hub shows on the worker's page."""
    return WorkerFacts(
        cutlayer=package_version("cutlayer")[:40],
        python=platform.python_version(),
        torch=package_version("torch"),
        platform=plain_line(platform.platform(terse=True)),
        cpus=psutil.cpu_count() or 0,
        memory_bytes=psutil.virtual_memory().total,
        disk_free_bytes=disk_free(home.root),
        gpus=find_gpus(),
        speed=known_speed(home),
        tensor_host=tensor_host,
        tensor_ports=list(tensor_ports),
    )


@lru_cache
def package_version(name: str) -> str:
    """The installed version, or nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def disk_free(path: Path) -> int:
    """Free bytes where a folder is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def find_gpus() -> list[Gpu]:
    """The GPUs that the driver lists: name, memory and free memory in bytes."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        answer = subprocess.run(  # noqa: S603
            [tool, _QUERY, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = []
    for line in answer.stdout.splitlines():
        name, total, free = (part.strip() for part in line.rsplit(",", 2))
        gpus.append(Gpu(name=plain_line(name), memory_bytes=int(total) << 20, free_bytes=int(free) << 20))
    return gpus
