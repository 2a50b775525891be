"""How many steps a run has, and after which of them it is measured (torch-free)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from splitcore.config.run import RunConfig
from splitcore.errors import AppError


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


def check_length(config: RunConfig, parties: Sequence[str], party: str, *, rows: int, steps: int) -> None:
    """The length that the server half names to a party is the contract's. Raises AppError CL-1505.

    Epochs of several parties follow from the largest dataset, which may be another's: then it is no less than this
    party's own rows ask for. A site that wants a bound sets `max_steps`, which lets no epochs in.
    """
    least = total_steps(config, [rows], [config.for_party(party).training.batch_size])
    is_known = config.training.steps is not None or len(parties) == 1
    if steps < least or (is_known and steps != least):
        raise AppError("CL-1505", f"The server half announced {steps} steps, but the contract amounts to {least}.")
