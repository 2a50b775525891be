"""Races on PostgreSQL, with real threads and connections. SQLite has one writer, so there is nothing to race for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.concurrency.racing import Track

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder on SQLite."""
    if connection.vendor == "postgresql":
        return
    skip = pytest.mark.skip(reason="races need row locks: make test-postgresql")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(skip)


@pytest.fixture
def track(transactional_db: None, caplog: pytest.LogCaptureFixture) -> Iterator[Track]:
    """Threads with a connection each, for the length of a test. The order of locks holds: no service ran twice."""
    with Track() as found:
        yield found
    again = [record.getMessage() for record in caplog.get_records("call") if record.name == "webapp.core.transactions"]
    assert not again
