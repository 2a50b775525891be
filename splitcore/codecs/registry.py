"""Every codec by its name. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.codecs import groups, int8, plain
from splitcore.codecs.choice import CodecChoice
from splitcore.codecs.interface import WireFormat

FAMILIES = (plain, int8, groups)

_ALL: list[WireFormat] = [format_ for family in FAMILIES for format_ in family.FORMATS]
FORMATS = {format_.name: format_ for format_ in _ALL}
CHOICES: list[type[CodecChoice]] = [choice for family in FAMILIES for choice in family.CHOICES]
"""What a run's configuration may choose for activations and gradients."""


def payload_bytes(codec: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor of `shape` in the format `codec`, without headers."""
    return sum(FORMATS[codec].sizes(shape))
