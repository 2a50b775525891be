"""A one-run audit of a training (torch): canaries join the rows by coins, and the adapter is asked which ones did."""

from __future__ import annotations

from pathlib import Path
from random import Random

from splitcore.audit.capture import Rows, capture
from splitcore.audit.membership.one_run import Guesses, guesses_of
from splitcore.audit.membership.scores import calibrated
from splitcore.config import RunConfig


def canaries_told(
    config: RunConfig, rows: Rows, canaries: Rows, folder: Path, *, made: int, epochs: int = 1, seed: int = 0
) -> Guesses:
    """Train on `rows` and about half of the canaries, and guess the coins of `made` of these by calibrated loss.

    `canaries`: rows that occur nowhere else; the more and the unlikelier, the higher a bound can get (at least 1,000
    for a claim). `folder`: of the training. Raises AppError as `fine_tune` does, ValueError as `guesses_of` does.
    """
    draw = Random(seed)  # noqa: S311 - the coins are the audit's own, and hidden from nobody
    included = [draw.random() < 0.5 for _ in canaries]
    joined = [*rows, *(canary for canary, is_in in zip(canaries, included, strict=True) if is_in)]
    taken = capture(config, joined, folder, epochs=epochs)
    scores = calibrated(taken.plan, folder / "run" / "adapter", canaries)
    return guesses_of(scores, included, made)
