"""How often an attacker is right without the release: one type for each kind of attacker, so that none is mixed up.

A bound for a reader who holds the true text so far is wrong with the κ of one who holds nothing: of a text that repeats
one coin 64 times the former knows 63 places, the latter guesses half.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kappa:
    """A success without the release, in [0, 1]: of the best attacker of its kind, or an assumption about it."""

    value: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError("a success is between 0 and 1")


@dataclass(frozen=True)
class Blind(Kappa):
    """Of an attacker with what is known beforehand alone: public text, lengths, whatever a run tells everyone."""


@dataclass(frozen=True)
class Prefix(Kappa):
    """Of a reader who has the true text before each token, too: at least a language model's next-token accuracy."""


@dataclass(frozen=True)
class Rest(Kappa):
    """Of a reader who has the true text on both sides of each token, too."""
