"""How well labels were told: accuracy and macro-F1 (torch-free)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

LEAST_SCORED = 8  # held-out rows of which scores are told: those of fewer would tell of single rows


@dataclass(frozen=True)
class Scores:
    """accuracy: the share of rows whose label was told. macro_f1: the mean F1 over labels.

    Each label counts the same in macro_f1, however rare it is; one that neither occurs nor is told has no F1.
    """

    accuracy: float
    macro_f1: float

    @classmethod
    def of(cls, told: Iterable[tuple[int, int]]) -> Scores:
        """Of each row its own label and the one that was told. Raises ValueError without rows."""
        pairs = list(told)
        if not pairs:
            raise ValueError("there are no rows to score")
        right = Counter(own for own, answer in pairs if own == answer)
        occurs, answered = Counter(own for own, _ in pairs), Counter(answer for _, answer in pairs)
        labels = sorted(occurs | answered)
        # F1 = 2·right / (occurs + answered), the harmonic mean of precision and recall
        f1 = [2 * right[label] / (occurs[label] + answered[label]) for label in labels]
        return cls(right.total() / len(pairs), sum(f1) / len(labels))
