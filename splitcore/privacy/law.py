"""The law of a defence's noise, which is no secret: attacks, ceilings and accounts take it from here. Torch-free."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from splitcore.boundary.choice import CutStrategy

if TYPE_CHECKING:
    from splitcore.config import RunConfig


@dataclass(frozen=True)
class NoiseLaw:
    """What is added to hidden states of which norm.

    clip: largest norm of what `clips` names: each token's vector, or a row's vectors together. deviation: root mean
    square of the noise in each number. is_radial: of uniform direction and a length that is Gamma-distributed with the
    width as its shape, so that its density falls as exp(−length/scale); else Gaussian, independent in each number.
    rarest: by how much larger the noise of the vocabulary's last token is; 1 where all tokens have the same.
    """

    clip: float
    deviation: float
    clips: Literal["token", "row"] = "token"
    is_radial: bool = False
    rarest: float = 1.0

    @property
    def is_gaussian(self) -> bool:
        """Whether it is Gaussian noise that doesn't depend on the text."""
        return not self.is_radial and self.rarest == 1.0

    def radius(self, tokens: int) -> float:
        """The largest norm of a row of so many tokens, in deviations of the noise."""
        return self.clip / self.deviation * (math.sqrt(tokens) if self.clips == "token" else 1.0)


class NoiseDefence(CutStrategy):
    """A defence that adds noise of a law that everybody knows."""

    adds_noise: ClassVar[bool] = True

    @abstractmethod
    def law(self, width: int) -> NoiseLaw:
        """With hidden states of this width."""

    def refuses(self, config: RunConfig) -> str:
        """One law is what attacks and ceilings reckon with, and a second noise adds nothing that a larger one lacks."""
        names = [one.name for one in config.privacy.defences if isinstance(one, NoiseDefence)]
        return f"Only one defence can add noise. Choose between {' and '.join(names)}." if len(names) > 1 else ""


def noise_alone(strategies: Iterable[CutStrategy]) -> NoiseDefence | None:
    """The defence that adds noise, where it is the only thing that changes hidden states.

    Then what crosses is what the head gives, clipped, plus noise of that law. None where nothing adds noise, or where a
    method or another defence changes what is noised, or what was.
    """
    acting = [one for one in strategies if one.changes_states]
    return acting[0] if len(acting) == 1 and isinstance(acting[0], NoiseDefence) else None


def noise_among(defences: Iterable[CutStrategy]) -> NoiseDefence | None:
    """The defence that adds noise; None where none does."""
    return next((one for one in defences if isinstance(one, NoiseDefence)), None)
