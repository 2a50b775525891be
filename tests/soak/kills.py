"""What the soak kills, by SIGKILL: first what lives long, then again and again what lives around it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import psutil

from tests.integration.drills import child_of, halves, hub_group
from tests.stack import Stack, wait_for

BACK_SECONDS = 120  # for a process to be there again


@dataclass(frozen=True)
class Victim:
    """One kind of process."""

    name: str
    kill: Callable[[Stack], bool]  # whether there was one


def kill(process: psutil.Process) -> None:
    """End it without a word, and see it gone."""
    process.kill()
    psutil.wait_procs([process], timeout=10)


def _half(key: str) -> Callable[[Stack], bool]:
    def end(stack: Stack) -> bool:
        found = halves(stack, key)
        for half in found:
            kill(half)
        return bool(found)

    return end


def _of_site(key: str, word: str) -> Callable[[Stack], bool]:
    def end(stack: Stack) -> bool:
        _replaced(psutil.Process(stack.groups.children[key].pid), word)
        return True

    return end


def _of_hub(word: str) -> Callable[[Stack], bool]:
    def end(stack: Stack) -> bool:
        _replaced(hub_group(stack), word)
        wait_for(lambda: httpx.get(f"{stack.url}/health", timeout=5).status_code == 200, what="a healthy hub")
        return True

    return end


def _replaced(parent: psutil.Process, word: str) -> None:
    """Kill a child, and wait until its parent has another one."""
    old = child_of(parent, word)
    kill(old)
    wait_for(lambda: child_of(parent, word).pid != old.pid, seconds=BACK_SECONDS, what=f"another {word}")


def _agent(key: str) -> Callable[[Stack], bool]:
    def end(stack: Stack) -> bool:
        child = stack.groups.children.pop(key)
        child.kill()
        child.wait()
        stack.groups.start_worker(key)
        return True

    return end


LONG_LIVED = (
    Victim("the hub's web process", _of_hub("uvicorn")),
    Victim("the bank's agent", _agent("bank")),
    Victim("the hub's Celery", _of_hub("celery")),
)
AROUND = (
    Victim("the bank's half", _half("bank")),
    Victim("the compute site's half", _half("compute")),
    Victim("the clinic's queue", _of_site("clinic", "-server")),
    Victim("the bank's Celery", _of_site("bank", "celery")),
    Victim("the hub's queue", _of_hub("-server")),
)


def first_all() -> Iterator[Victim]:
    """Everything once, then what lives around the long-lived."""
    return itertools.chain(LONG_LIVED, itertools.cycle(AROUND))


def around() -> Iterator[Victim]:
    """What must not make the long-lived grow."""
    return itertools.cycle(AROUND)
