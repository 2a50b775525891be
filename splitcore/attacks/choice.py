"""The description of an attack. Torch-free, except for `build`."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from splitcore.fields import Strategy

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack
    from splitcore.config import RunConfig


class LeakChannel(StrEnum):
    """Where part of a party's text may be read."""

    HIDDEN = "hidden"  # h: hidden states, up at the first cut
    OUTPUT = "output"  # z: the body's output, down at the second cut
    GRADIENT = "gradient"  # g: its gradient, up at the second cut
    UPLOADS = "uploads"  # gradients or weights of the party's adapter

    @property
    def words(self) -> str:
        """What it is, for people."""
        return _WORDS[self]


_WORDS = {
    LeakChannel.HIDDEN: "Hidden states sent at the first cut",
    LeakChannel.OUTPUT: "Hidden states returned at the second cut",
    LeakChannel.GRADIENT: "Gradients sent at the second cut",
    LeakChannel.UPLOADS: "Uploads of the adapter",
}


class Need(StrEnum):
    """What an observer must have, besides the transcript, the public ends and the algorithm, to run an attack."""

    AUXILIARY = "auxiliary"  # text of the observer's own
    KNOWN = "known"  # some of the party's rows
    MODEL = "model"  # the whole public base model


class AttackChoice(Strategy):
    """One attack with its fields."""

    channel: ClassVar[LeakChannel] = LeakChannel.HIDDEN
    needs: ClassVar[frozenset[Need]] = frozenset()
    draws: ClassVar[bool] = False  # whether the outcome depends on a seed

    def refuses(self, config: RunConfig) -> str:
        """Why there is nothing for this attack in a run of this configuration; empty where it fits."""
        if config.split.topology == "vanilla" and self.channel in (LeakChannel.OUTPUT, LeakChannel.GRADIENT):
            return "The compute organisation is sent the target tokens themselves, so none is left to be found."
        return ""

    @abstractmethod
    def build(self) -> Attack:
        """The attack itself; imports torch."""
