"""How the suite is spread over processes: what shares one real system stays together and begins first."""

from __future__ import annotations

import os

import pytest

# Tests that use one of these share real processes, which exist once in a session: they go to one process, in turn.
SHARED = ("stack",)
FIRST = "demo"  # the longest single test


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than cores (`-n auto`): tests of the real system wait half of their time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group the tests by file, those of the real system together, and let the longest groups begin."""
    if not config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    ranks: dict[str, int] = {}
    for item in items:
        group = _group(item)
        ranks.setdefault(group, _rank(group))
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: ranks[_group(item)])


def _group(item: pytest.Item) -> str:
    """The group that an own mark names; else the shared system; else the test's file."""
    own = item.get_closest_marker("xdist_group")
    if own is not None:
        return str(own.args[0])
    names = getattr(item, "fixturenames", ())
    return next((name for name in SHARED if name in names), item.nodeid.split("::")[0])


def _rank(group: str) -> int:
    return 0 if group == FIRST else 1 if group in SHARED else 2
