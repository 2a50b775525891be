"""Field, cost and terms of the activation cache. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from pydantic import Field

from splitcore.caches.choice import CacheChoice, CachePlace
from splitcore.fields import Section, ui
from splitcore.wire.protocol.messages import Phase

if TYPE_CHECKING:
    from splitcore.boundary.coding import Coding
    from splitcore.config import RunConfig


class ActivationCacheField(Section):
    """What asks for it."""

    cache_activations: bool = Field(
        False,
        description=(
            "With an untrained head, the compute organisation caches each row's activations. Every row crosses"
            " only once, and the head computes only in the first epoch. Cached activations can be turned back"
            " into text. They are deleted when the run ends."
        ),
        json_schema_extra=ui(level="advanced", label="Cache activations"),
    )


class ActivationCacheChoice(CacheChoice):
    """A frozen head's activations of a row cross once, and are kept at the compute organisation."""

    name, field = "activation_cache", "training.cache_activations"
    phases = (Phase.HEAD_UP,)
    spares_rows = True

    @classmethod
    def asked(cls, config: RunConfig) -> Self | None:
        """See `CacheChoice.asked`."""
        return cls() if config.training.cache_activations else None

    def refuses(self, config: RunConfig) -> str:
        """What a trained head gives is another thing in every step."""
        return f"{self.field} needs an untrained head: set lora.train_head to false." if config.lora.train_head else ""

    def later(self, full: float, bytes_as: Callable[[str], float]) -> float:
        """See `CacheChoice.later`."""
        return 0.0

    def saving(self) -> str:
        """See `CacheChoice.saving`."""
        return "Each row's hidden states are sent once. The low figure applies to later epochs."

    def build(self, place: CachePlace) -> Coding:
        """See `CacheChoice.build`."""
        from splitcore.caches.activation_cache.coding import ActivationCache

        return ActivationCache(place)
