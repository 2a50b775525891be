"""What integration and browser tests share: one real hub for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running hub; a test that would disturb others starts one of its own."""
    with running_stack(Path(tmp_path_factory.mktemp("stack"))) as running:
        yield running
