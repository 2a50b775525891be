"""A run's ceiling: the smallest of the three bounds, each with the κ of its own kind of attacker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from splitcore.ceilings import bits
from splitcore.ceilings.confidence import ALPHA, Hits
from splitcore.ceilings.kappa import Blind, Prefix, Rest

KAPPAS = (0.01, 0.1, 0.3, 0.5, 0.7)
NOTHING = 0.99  # from here on a ceiling says nothing


class Curve(Protocol):
    """B1 of some records: `tradeoff.Distances`, or `confidence.Sampled` where they stand for others."""

    def ceiling(self, kappa: float) -> float:
        """The success with the release of whoever has κ without it."""
        ...

    def gain(self) -> float:
        """The most that any success rises by."""
        ...


@dataclass(frozen=True)
class Ceiling:
    """How often any attacker is right at most, and which bound says so."""

    value: float
    bound: str

    @property
    def says_something(self) -> bool:
        """Whether it is below 99 %."""
        return self.value < NOTHING

    def __str__(self) -> str:
        return f"at most {self.value:.1%}" if self.says_something else "noise of this size bounds nothing"


@dataclass(frozen=True)
class Ceilings:
    """The bounds of a run. record, token: B1. nats: B2, per scored token, its upper end."""

    record: Curve
    token: Curve
    nats: float

    def at(self, blind: Blind, prefix: Prefix, rest: Rest) -> Ceiling:
        """For every attacker: min(B1 of records at κ_blind, B2 at κ_prefix, B1 of tokens at κ_rest).

        Whoever knows less than a reader of the prefix or of the rest is bounded by theirs, too, with their κ.
        """
        return min(
            Ceiling(self.record.ceiling(blind.value), "record"),
            Ceiling(bits.ceiling(prefix, self.nats), "bits"),
            Ceiling(self.token.ceiling(rest.value), "token"),
            key=lambda one: one.value,
        )

    def curve(self) -> list[tuple[float, Ceiling]]:
        """Against an attacker who already guesses κ, even with the rest of the text, for each κ of `KAPPAS`."""
        return [(kappa, self.at(Blind(kappa), Prefix(kappa), Rest(kappa))) for kappa in KAPPAS]

    def gains(self) -> dict[str, float]:
        """What the release adds at most, whatever κ is, for each kind of attacker."""
        return {"record": self.record.gain(), "bits": bits.gain(self.nats), "token": self.token.gain()}


def is_broken(curve: Curve, attack: Hits, null: Hits, alpha: float = ALPHA) -> bool:
    """Whether an attack has read more than its ceiling allows, with an error probability of α. It assumes nothing.

    null: the same attack on c + σN in the release's place, c being the reference of the distances. Where this is true,
    what left is not what was declared: other noise, another clip, or something beside them.
    """
    return attack.lower(alpha / 2) > curve.ceiling(null.upper(alpha / 2))
