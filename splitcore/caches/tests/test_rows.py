"""The rows' store: what a checkpoint sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from splitcore.caches.rows import RowCache
from splitcore.errors import AppError


def test_a_cache_shows_the_last_complete_step_to_a_checkpoint_in_the_middle_of_one() -> None:
    cache = RowCache(2, torch.bfloat16, limit=1000)
    cache.put(7, torch.ones(3, 2))
    cache.settle()
    cache.put(7, torch.zeros(3, 2))
    cache.put(8, torch.zeros(1, 2))
    state = cache.state()
    assert state["rows"].tolist() == [7]
    assert torch.equal(state["values"], torch.ones(3, 2, dtype=torch.bfloat16))
    again = RowCache(2, torch.bfloat16, limit=1000)
    again.restore(state)
    assert torch.equal(again.get([7]), state["values"])
    cache.settle()
    assert cache.state()["rows"].tolist() == [7, 8]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_row_of_another_length_is_refused_and_takes_no_room(tmp_path: Path, on_disk: bool) -> None:
    cache = RowCache(4, torch.float32, limit=64, folder=tmp_path / "kept" if on_disk else None)
    cache.put(1, torch.ones(2, 4))
    with pytest.raises(AppError, match="CL-1313"):
        cache.put(1, torch.ones(500, 4))
    assert (cache.nbytes, cache.tokens(1), cache.get([1]).shape) == (32, 2, (2, 4))
