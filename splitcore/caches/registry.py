"""Every cache of what has crossed of a row, and the fields that ask for them. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitcore.caches.activation_cache.config import ActivationCacheChoice, ActivationCacheField
from splitcore.caches.choice import CacheChoice
from splitcore.caches.delta_coding.config import DeltaCodingChoice, DeltaCodingField
from splitcore.caches.room import Room

if TYPE_CHECKING:
    from splitcore.config import RunConfig

CACHES: list[type[CacheChoice]] = [DeltaCodingChoice, ActivationCacheChoice]


class CacheFieldsOfWire(Room, DeltaCodingField):
    """Those of the section `wire`."""


class CacheFieldsOfTraining(ActivationCacheField):
    """Those of the section `training`."""


def caches_of(config: RunConfig) -> list[CacheChoice]:
    """What a configuration asks for."""
    return [choice for cache in CACHES if (choice := cache.asked(config)) is not None]
