"""The processes that live long, and what each holds of memory and descriptors while nothing runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from demo.launch.groups import WORKERS
from tests.integration.drills import child_of, halves, hub_group
from tests.stack import Stack, wait_for

LOOKS, PAUSE = 12, 0.5  # a connection that is just open for a moment is in no reading's lowest count
DESCRIPTOR_SLACK = 3  # connections of a pool that happens to be used by one thread more
MEMORY_LIMIT = 1.25  # the promise is 1.05 over many hours; in minutes there is less to be told from warming up


@dataclass(frozen=True)
class Reading:
    """One process at rest."""

    pid: int
    resident: int
    descriptors: int


@dataclass(frozen=True)
class Change:
    """One kind of process at the first and at the last reading."""

    name: str
    first: Reading
    last: Reading

    @property
    def memory(self) -> float:
        """Last ÷ first."""
        return self.last.resident / self.first.resident

    @property
    def descriptors(self) -> float:
        """Last ÷ first."""
        return self.last.descriptors / self.first.descriptors

    def faults(self) -> list[str]:
        """What has grown, in words."""
        found = []
        if self.last.descriptors > self.first.descriptors + DESCRIPTOR_SLACK:
            found.append(f"{self.name}: {self.first.descriptors} descriptors became {self.last.descriptors}")
        if self.memory > MEMORY_LIMIT:
            found.append(f"{self.name}: its memory grew by {self.memory - 1:.0%}")
        if self.first.pid != self.last.pid:
            found.append(f"{self.name}: it is another process, though nobody killed it")
        return found


def living(stack: Stack) -> dict[str, psutil.Process]:
    """Who lives as long as the system does."""
    hub = hub_group(stack)
    found = {"hub": hub, "hub: web": child_of(hub, "uvicorn"), "hub: Celery": child_of(hub, "celery")}
    return found | {f"agent: {key}": psutil.Process(stack.groups.children[key].pid) for key in WORKERS}


def read_at_rest(stack: Stack) -> dict[str, Reading]:
    """Wait until no half runs, then look several times: the lowest count of descriptors, the last size of memory."""
    wait_for(lambda: not halves(stack, *WORKERS), seconds=60, what="the end of every half")
    processes = living(stack)
    counts: dict[str, list[int]] = {name: [] for name in processes}
    for _ in range(LOOKS):
        time.sleep(PAUSE)
        for name, process in processes.items():
            counts[name].append(process.num_fds())
    return {
        name: Reading(process.pid, process.memory_info().rss, min(counts[name])) for name, process in processes.items()
    }


def changes(first: dict[str, Reading], last: dict[str, Reading]) -> list[Change]:
    """Both readings side by side."""
    return [Change(name, first[name], last[name]) for name in first]


Progress = Callable[[str], None]
