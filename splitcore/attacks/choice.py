"""The description of an attack. Torch-free, except for `build`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from splitcore.fields import Strategy

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class AttackChoice(Strategy):
    """One attack with its fields."""

    @abstractmethod
    def build(self) -> Attack:
        """The attack itself; imports torch."""
