"""Drills with dead processes in the middle of training: Redis and Celery of the hub and of a worker, a full disk.

Each prints how long the system took. The promise is 3 s for a doorbell; it is waited for up to ten times that, since
the machine may be busy, and nothing else could ring within that time.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from resource import RLIMIT_FSIZE
from typing import Any

import httpx
import psutil
import pytest
import redis

from demo.launch.runs import approve_by_all, launch
from processes.redis_server import url_of_folder
from tests.integration.drills import (
    PATIENCE,
    TRAINING,
    check_records,
    child_of,
    halves,
    hub_client,
    hub_group,
    hub_variables,
    reach,
    reach_step,
    records_of,
    reviewed,
    run_of,
)
from tests.stack import Stack, wait_for
from workers.agent.reconciler import RING_MOST
from workers.contracts import QUEUE
from workers.hub import HubError
from workers.settings import WorkerHome

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
LONG = 3 * PATIENCE  # a run that recovers, on a machine that other tests share
PROMISED = 3.0  # from the loss of a doorbell to the next


def kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)
    psutil.wait_procs([process], timeout=10)


def took(what: str, look: Callable[[], Any], *, seconds: float = PATIENCE) -> None:
    """Wait until the condition holds, and print for how long."""
    started = time.monotonic()
    wait_for(look, seconds=seconds, what=what)
    print(f"{what}: {time.monotonic() - started:.2f} s")


def start(stack: Stack, name: str, steps: int) -> str:
    training = {**TRAINING, "steps": steps, "checkpoint_every": 5}
    run = launch(stack.stage, name=name, trains=("clinic", "bank"), training=training, evaluate=False)
    reviewed(stack.stage, run)
    approve_by_all(stack.stage, run)
    return run


def parts(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{stack.url}/health", timeout=10).json()["parts"]
    return found


def agent(stack: Stack, key: str) -> psutil.Process:
    return psutil.Process(stack.groups.children[key].pid)


def site_queue(stack: Stack, key: str) -> redis.Redis:
    return redis.Redis.from_url(url_of_folder(stack.groups.home(key) / "run"), socket_timeout=2)


@pytest.mark.promise(26, figure="each loss once, no record missing")
def test_a_run_ends_well_though_the_hubs_disk_redis_and_celery_fail_in_its_middle(stack: Stack) -> None:
    steps = 60
    run = start(stack, "Drill: the hub's parts", steps)
    reach_step(stack.stage, run, 2)
    with no_room(stack):
        took("a refusal with its code", lambda: "CL-1904" in refusal(stack))
        assert not parts(stack)["disk"]["healthy"]
        assert httpx.get(f"{stack.url}/health", timeout=10).status_code == 503
        assert 'cutlayer_up{part="disk"} 0.0' in httpx.get(f"{stack.url}/metrics", timeout=10).text
        before = run_of(stack.stage, run)["step"]
    took("records again", lambda: run_of(stack.stage, run)["step"] > before)

    queue = redis.Redis.from_url(hub_variables(stack)["REDIS_URL"])
    kill(child_of(hub_group(stack), "-server"))
    took("the hub's Redis after SIGKILL", queue.ping)
    took("a sweep after it", lambda: (parts(stack)["celery"]["seconds_since_sweep"] or 99) < 2)

    queue.flushall()
    assert parts(stack)["redis"]["healthy"]
    took("a sweep after FLUSHALL", lambda: queue.exists("cutlayer:json:1:last-sweep"))

    kill(child_of(hub_group(stack), "celery"))
    killed = time.time()
    swept = lambda: time.time() - (parts(stack)["celery"]["seconds_since_sweep"] or 99) > killed + 0.5  # noqa: E731
    took("a sweep after SIGKILL of the hub's Celery", swept)

    reach(stack.stage, run, "done", seconds=LONG)
    check_records(records_of(stack.stage, run), steps)
    took("every part healthy again", lambda: all(part["healthy"] for part in parts(stack).values()))
    assert httpx.get(f"{stack.url}/health", timeout=10).status_code == 200


@pytest.mark.promise(26, figure="a lost doorbell rung again, waited for 30 s at most; measured 0.3 to 0.6 s")
def test_a_doorbell_that_was_lost_is_rung_again_and_the_run_ends_well_though_the_queue_dies_in_its_middle(
    stack: Stack,
) -> None:
    steps = 24
    with celery_frozen(stack, "bank"):
        run = start(stack, "Drill: a worker's queue", steps)
        queue = site_queue(stack, "bank")
        rung = lambda: site_queue(stack, "bank").llen(QUEUE)  # noqa: E731
        wait_for(rung, seconds=PATIENCE, what="the doorbell")
        only_the_loss_rings_again(stack, "bank")
        queue.flushall()
        took("the doorbell again after FLUSHALL", rung, seconds=10 * PROMISED)
        kill(child_of(agent(stack, "bank"), "-server"))
        took("the doorbell again after SIGKILL", rung, seconds=10 * PROMISED)

    reach_step(stack.stage, run, 6)
    trains = halves(stack, "bank")
    assert trains
    kill(child_of(agent(stack, "bank"), "-server"))
    took("a worker's Redis after SIGKILL", site_queue(stack, "bank").ping)
    site_queue(stack, "bank").flushall()
    assert all(half.is_running() for half in trains), "the half trains on: its queue is only a doorbell"

    kill(child_of(agent(stack, "bank"), "celery"))
    took("the hub's notice of a worker's killed Celery", lambda: run_of(stack.stage, run)["state"] != "training")
    took("training again", lambda: run_of(stack.stage, run)["state"] not in ("recovering", "starting"))
    reach(stack.stage, run, "done", seconds=LONG)
    check_records(records_of(stack.stage, run), steps)


def only_the_loss_rings_again(stack: Stack, key: str) -> None:
    """Doorbells of this site count as rung often, so the agent's patience with them outlasts this drill's wait."""
    assert RING_MOST > 10 * PROMISED
    with closing(sqlite3.connect(WorkerHome(stack.groups.home(key)).spool_file, timeout=20)) as spool, spool:
        changed = spool.execute("UPDATE jobs SET rings = 20 WHERE state = 'rung'").rowcount
    assert changed > 0


@contextmanager
def celery_frozen(stack: Stack, key: str) -> Iterator[None]:
    """Nobody takes messages from a worker's queue for a while."""
    process, queue = child_of(agent(stack, key), "celery"), site_queue(stack, key)
    process.suspend()
    try:
        wait_for(lambda: queue.info("clients")["blocked_clients"] == 0, what="the end of its last question")
        yield
    finally:
        process.resume()


def refusal(stack: Stack) -> str:
    """What a worker is told."""
    try:
        hub_client(stack, "clinic").assignments()
    except HubError as error:
        return error.code if error.transient else f"a refusal for good: {error.code}"
    return ""


@contextmanager
def no_room(stack: Stack) -> Iterator[None]:
    """The system lets no file of the hub's processes grow beyond its first page."""
    processes = [child_of(hub_group(stack), word) for word in ("uvicorn", "celery")]
    before = [process.rlimit(RLIMIT_FSIZE) for process in processes]
    for process, (_, hard) in zip(processes, before, strict=True):
        process.rlimit(RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        for process, limits in zip(processes, before, strict=True):
            process.rlimit(RLIMIT_FSIZE, limits)
