"""The rows' store: what a checkpoint sees of it."""

from __future__ import annotations

import torch

from splitcore.caches.rows import RowCache


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
