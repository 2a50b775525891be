"""A lower bound on ε from a single training (T. Steinke, M. Nasr and M. Jagielski, arXiv 2305.08846). Torch-free.

Each of m canaries is a part of the data by a fair coin. An attacker guesses the coins of r of them, v of them right.
Under (ε, δ), v is at most a binomial number of r tries with chance e^ε / (1 + e^ε), but for a part that δ allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
HIGHEST = 50.0  # beyond, any ε is the same


@dataclass(frozen=True)
class Guesses:
    """right: of `made` guesses about as many of the `canaries`."""

    right: int
    made: int
    canaries: int


def guesses_of(scores: Sequence[float], included: Sequence[bool], made: int) -> Guesses:
    """The highest half of `made` scores are guessed to be included, the lowest half not to be; of others, nothing.

    How many are made must be fixed before the scores are seen. Raises ValueError for more than there are canaries.
    """
    if made > len(scores) or len(scores) != len(included):
        raise ValueError("there are fewer canaries than guesses")
    order = sorted(range(len(scores)), key=lambda place: scores[place])
    low, high = order[: made // 2], order[len(order) - (made - made // 2) :]
    right = sum(not included[place] for place in low) + sum(included[place] for place in high)
    return Guesses(right, made, len(scores))


def epsilon_at_least(guesses: Guesses, *, delta: float, confidence: float = CONFIDENCE) -> float:
    """The largest ε that so many right guesses rule out; 0 where they rule out none."""
    if chance(guesses, 0.0, delta) > 1 - confidence:
        return 0.0
    low, high = 0.0, HIGHEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(guesses, middle, delta) <= 1 - confidence else (low, middle)
    return low


def chance(guesses: Guesses, epsilon: float, delta: float) -> float:
    """At most so likely are as many right guesses, or more, under (ε, δ): theorem 5.2 there."""
    right, made = guesses.right, guesses.made
    law = _binomial(made, 1 / (1 + math.exp(-epsilon)))
    tail = math.fsum(law[right:])
    summed = most = 0.0
    for fewer in range(1, right + 1):
        summed += law[right - fewer]
        most = max(most, summed / fewer)
    return min(1.0, tail + 2 * guesses.canaries * delta * most)


def _binomial(tries: int, chance_: float) -> list[float]:
    """P(X = 0), …, P(X = tries)."""
    if chance_ >= 1.0:
        return [0.0] * tries + [1.0]
    return [
        math.exp(
            math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
            + k * math.log(chance_) + (tries - k) * math.log1p(-chance_)
        )
        for k in range(tries + 1)
    ]  # fmt: skip
