"""The description of an attack. Torch-free, except for `build`."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from splitcore.fields import Strategy

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class LeakChannel(StrEnum):
    """Where part of a party's text may be read."""

    HIDDEN = "hidden"  # h: hidden states, up at the first cut
    OUTPUT = "output"  # z: the body's output, down at the second cut
    GRADIENT = "gradient"  # g: its gradient, up at the second cut
    UPLOADS = "uploads"  # gradients or weights of the party's adapter


class AttackChoice(Strategy):
    """One attack with its fields."""

    channel: ClassVar[LeakChannel] = LeakChannel.HIDDEN

    @abstractmethod
    def build(self) -> Attack:
        """The attack itself; imports torch."""
