"""A dead process is started again; one that cannot live is named; a start that fails for a while is tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from processes.supervisor import NeverStaysError, Supervisor

Children = list["subprocess.Popen[bytes]"]


@pytest.fixture
def started() -> Iterator[Children]:
    children: Children = []
    yield children
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()


def starter(started: Children, code: str):
    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", code], start_new_session=True))
        return started[-1]

    return start


def test_whichever_dies_is_started_again_and_the_others_are_left_alone(started: Children) -> None:
    waits = starter(started, "import signal; signal.pause()")
    supervisor = Supervisor({"redis": waits, "web": waits})
    supervisor.look()
    redis, web = started
    os.kill(redis.pid, signal.SIGKILL)
    redis.wait()
    supervisor.look()
    assert len(started) == 3
    assert web.poll() is None
    assert started[2].poll() is None
    supervisor.end(grace=2)
    assert all(child.poll() is not None for child in started)


def test_a_process_that_never_stays_is_named(started: Children) -> None:
    supervisor = Supervisor({"web": starter(started, "")}, most=3, within=60)

    def look_until_it_gives_up() -> None:
        for _ in range(10):
            supervisor.look()
            started[-1].wait()

    with pytest.raises(NeverStaysError, match="web"):
        look_until_it_gives_up()
    assert len(started) == 3


def test_ends_that_lie_far_apart_are_no_reason_to_give_up(started: Children) -> None:
    supervisor = Supervisor({"web": starter(started, "")}, most=2, within=0.0)
    for _ in range(5):
        supervisor.look()
        started[-1].wait()
    assert len(started) == 5


def test_a_start_that_fails_for_a_while_is_tried_again(started: Children) -> None:
    ill = False

    def start() -> subprocess.Popen[bytes]:
        if ill:
            raise OSError(28, "No space left on device")
        return starter(started, "import signal; signal.pause()")()

    supervisor = Supervisor({"celery": start})
    supervisor.look()
    started[0].kill()
    started[0].wait()
    ill = True
    supervisor.look()
    ill = False
    supervisor.look()
    assert len(started) == 2
