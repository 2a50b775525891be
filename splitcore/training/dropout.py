"""Adapter dropout that repeats: drawn from (seed, step, party, micro-batch, segment), not from what came before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

from splitcore.adapters.lora import seed_for
from splitcore.config import RunConfig

_DRAWING = Lock()  # the generator is global; in one process both halves draw from it


@contextmanager
def dropout_seed(config: RunConfig, step: int, party: str, micro: int, segment: str) -> Iterator[None]:
    """Seed torch for one forward pass where the adapter drops out; else do nothing."""
    if not config.lora.dropout:
        yield
        return
    with _DRAWING, torch.random.fork_rng():
        torch.manual_seed(seed_for(config.training.seed, "dropout", step, party, micro, segment))
        yield
