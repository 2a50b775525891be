"""Adapter dropout that repeats: drawn from (seed, step, party, micro-batch, segment), not from what came before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from splitcore.adapters.lora import seed_for
from splitcore.config import RunConfig
from splitcore.models.recompute import DRAWING


@contextmanager
def dropout_seed(config: RunConfig, step: int, party: str, micro: int, segment: str) -> Iterator[None]:
    """Seed torch for one forward pass where the adapter drops out; else do nothing."""
    if not config.lora.dropout:
        yield
        return
    with DRAWING, torch.random.fork_rng():
        torch.manual_seed(seed_for(config.training.seed, "dropout", step, party, micro, segment))
        yield
