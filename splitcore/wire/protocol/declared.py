"""What a conversation may carry, without any size: the words in which `splitcore/flows` declares messages. Torch-free.

`limits` turns them into rules: the rows, tokens, widths and adapters of one run give each tensor its shape and bounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from splitcore.wire.protocol.messages import Kind, Phase

Slot: TypeAlias = tuple[Kind, Phase]
Side = Literal["client", "server"]


class Content(StrEnum):
    """What the numbers of a tensor are; shape and bounds follow from it and the run's sizes."""

    PADDED = "padded"  # a vector for each position (B, L, D)
    PACKED = "packed"  # a vector for each real token (N, D)
    MASK = "mask"  # which positions are filled (B, L)
    LABELS = "labels"  # token ids (B, L)
    ROW_NUMBERS = "row_numbers"  # of the rows of a micro-batch (B,)
    CHECKSUM = "checksum"  # four bytes
    NORMS = "norms"  # one number for each adapter tensor of head and tail
    ENDS = "ends"  # one tensor for each adapter tensor of head and tail, under its name
    MOMENTS = "moments"  # the optimiser's state of them, likewise
    MASKED_ENDS = "masked_ends"  # as ENDS, in whole numbers of 64 bits, of which each value is possible
    SEALED = "sealed"  # tensors of ENDS, with or without MOMENTS, encrypted: bytes (N,)
    MASK_KEYS = "mask_keys"  # a public key and its signature for each of some parties (P, 96)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a message, or of adapters and moments as many as there are; `name` is empty for those."""

    name: str
    codec: str
    content: Content
    is_required: bool = True


@dataclass(frozen=True)
class Carried:
    """A message of one kind and phase, or what a flow adds to it: tensors, and fields of its body."""

    kind: Kind
    phase: Phase = Phase.NONE
    tensors: tuple[Tensor, ...] = ()
    fields: frozenset[str] = frozenset()

    @property
    def slot(self) -> Slot:
        """What a rule is looked up by."""
        return self.kind, self.phase


def merged(parts: Iterable[Carried]) -> dict[Slot, Carried]:
    """One declaration for each kind and phase. Raises ValueError where two parts tell a tensor differently."""
    found: dict[Slot, Carried] = {}
    for part in parts:
        before = found.get(part.slot, Carried(part.kind, part.phase))
        tensors = dict.fromkeys([*before.tensors, *part.tensors])
        if len({(one.name, one.content) for one in tensors}) != len(tensors):
            raise ValueError(f"{part.kind} {part.phase}: a tensor is declared in two ways.")
        found[part.slot] = Carried(part.kind, part.phase, tuple(tensors), before.fields | part.fields)
    return found
