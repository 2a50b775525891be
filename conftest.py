"""How the suite is spread over processes: what shares a real system stays together and begins first."""

from __future__ import annotations

import gc
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent
FIRST = "tests/integration/test_demo.py"  # the longest single test
# Tests of the real system share one a process, in turn: those that use it, and those that stop or break parts of it.
USED, BROKEN = "the stack that is used", "the stack that is broken"
BREAKING = ("test_drills", "test_pause", "test_quarantine", "test_recovery", "test_restore", "test_two_web_processes")
NICE = 3  # of all other groups: a stack's tests, one after another, take longer than anything beside them


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than cores (`-n auto`): tests of the real systems wait half of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Look for garbage seldom: as often as Python does it, it is a tenth of what tests cost that hold torch."""
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what the tests have imported out of it: that stays until the end."""
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Beside the stacks' groups the others give way; whoever has one got it before any other group."""
    if "PYTEST_XDIST_WORKER" in os.environ and group_of(item.nodeid.split("::")[0]) not in (USED, BROKEN):
        _give_way()


@cache
def _give_way() -> None:
    """Once in a process: niceness adds up."""
    os.nice(NICE)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """`--dist loadscope` hands out groups as they are here. (Groups by mark need another version of pytest.)"""
    return Groups(config, log) if config.getvalue("dist") == "loadscope" else None


class Groups(LoadScopeScheduling):
    """Hands out one group of tests after another, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.split("::")[0])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the longest groups begin."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(group_of(item.nodeid.split("::")[0])))


@cache
def group_of(file: str) -> str:
    """The group of a file's tests: that of a real system where one of them uses it, else the file itself."""
    if not file.startswith("tests/") or "stack: Stack" not in (ROOT / file).read_text():
        return file
    return BROKEN if Path(file).name.startswith(BREAKING) else USED


def _rank(group: str) -> int:
    return {FIRST: 0, USED: 1, BROKEN: 2}.get(group, 3)
