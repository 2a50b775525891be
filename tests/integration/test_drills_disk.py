"""Drills with a disk that takes no more: what was stored stays, and the error has its number.

The operating system itself refuses: files of this process may not grow beyond a limit for a while.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from splitcore.checkpoints.files import Checkpoints, Owner
from splitcore.errors import AppError
from splitcore.errors.numbers import code_of
from workers.contracts import LogPayload
from workers.outbox.spool import Spool

pytestmark = pytest.mark.integration


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file may be written beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.promise(30, figure="nothing lost")
def test_a_checkpoint_that_finds_no_room_leaves_the_previous_one_as_it_was(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, Owner("a", "hash", "contract"))
    weights = {"a": torch.arange(64.0)}
    checkpoints.save(7, "branch", {"adapter": weights})
    with files_end_at(4096), pytest.raises(OSError, match="File too large") as caught:
        checkpoints.save(8, "branch", {"adapter": {"a": torch.zeros(100_000)}})
    assert code_of(caught.value) == "CL-1821"
    assert checkpoints.held() == {7: "branch"}
    assert torch.equal(checkpoints.load(7)["adapter"]["a"], weights["a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attempt", "step-00000007"]


@pytest.mark.promise(30)
def test_a_spool_that_finds_no_room_keeps_what_it_has_and_goes_on_afterwards(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run", participant_id="part", attempt=1)

    def say() -> int:
        return spool.record(participant_id="part", attempt=1, kind="log", payload=LogPayload(level="info", message="m"))

    assert say() == 1
    largest = max(path.stat().st_size for path in tmp_path.iterdir())
    with files_end_at(largest), pytest.raises(AppError) as caught:
        say()
    assert caught.value.code in {"CL-1820", "CL-1821"}
    assert say() == 2
    [pending] = spool.pending()
    assert [record.seq for record in pending.records] == [1, 2]
