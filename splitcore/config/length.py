"""How many steps a run has, and after which of them it is measured (torch-free)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from splitcore.config.run import RunConfig


def total_steps(config: RunConfig, rows: Sequence[int], batch_sizes: Sequence[int]) -> int:
    """Optimiser steps of a run: as given, or as many as the largest dataset needs for the epochs.

    Where one party trains at a time, that many steps are every party's own, in whole turns.
    """
    training = config.training
    if training.steps is not None:
        return training.steps
    epochs = training.epochs or 1.0
    most = max(1, max(ceil(epochs * count / size) for count, size in zip(rows, batch_sizes, strict=True)))
    return config.schedule.steps_for(len(rows), most)


def evaluates_at(config: RunConfig, step: int, total: int) -> bool:
    """Whether held-out rows are measured after `step` completed steps: at the start, when due, and at the end."""
    every = config.training.eval_every
    return step in (0, total) or (every > 0 and step % every == 0)
