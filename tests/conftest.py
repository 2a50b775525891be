"""What integration and browser tests share: one real hub for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.launch.runs import approve_by_all, follow, launch
from demo.launch.stage import DATA_PARTIES
from tests.stack import Stack, running_stack

SHORT = {"steps": 6, "batch_size": 4, "micro_batches": 2, "warmup": 0, "eval_every": 3}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running hub; a test that would disturb others starts one of its own."""
    with running_stack(Path(tmp_path_factory.mktemp("stack"))) as running:
        yield running


@pytest.fixture(scope="session")
def finished_run(stack: Stack) -> dict[str, Any]:
    """A short joint run of the demo's organisations that has ended well, with its verified adapter."""
    run_id = launch(stack.stage, name="Short run", trains=DATA_PARTIES, training=SHORT)
    approve_by_all(stack.stage, run_id)
    return follow(stack.groups, stack.stage, run_id, seconds=240, progress=lambda run: None)
