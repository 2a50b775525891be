"""One way through the body and back: of a party's micro-batch, or of several parties' in one padded batch.

Shapes: B rows, L tokens of the longest row, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from splitcore.config import RunConfig
from splitcore.models.carve import Segment
from splitcore.training.crossings import Place
from splitcore.training.dropout import dropout_seed
from splitcore.training.loss import loss_sum
from splitcore.training.schedules.bodies import Bodies


@dataclass(frozen=True)
class Parcel:
    """A party's micro-batch as it came over the first cut; labels in the vanilla topology alone."""

    party: str
    hidden_BLD: torch.Tensor
    place: Place
    labels_BL: torch.Tensor | None = None


class BodyPass:
    """Parcels that go through the body together, in the contract's order; its graph lives until `backward`.

    Several are padded on the right to the longest row. The mask keeps padding out of attention and positions count
    from the left, so each row's own result stays what it is alone, up to the rounding of larger products.
    """

    def __init__(
        self, parcels: Sequence[Parcel], *, body: Segment, bodies: Bodies, config: RunConfig, micro: int
    ) -> None:
        """Run the forward pass."""
        self.parcels, self._bodies = list(parcels), bodies
        self._sizes = [parcel.hidden_BLD.shape[0] for parcel in self.parcels]
        self._lengths = [parcel.hidden_BLD.shape[1] for parcel in self.parcels]
        self._hidden_BLD = self._together([parcel.hidden_BLD for parcel in self.parcels])
        self._hidden_BLD.requires_grad_(config.lora.train_head)
        mask_BL = self._together([parcel.place.mask_BL for parcel in self.parcels])
        step, names = self.parcels[0].place.step, ",".join(self.parties)
        with self._worn(), dropout_seed(config, step, names, micro, "body"):
            self._output = body(mask_BL, hidden_BLD=self._hidden_BLD)

    @property
    def parties(self) -> list[str]:
        """Whose micro-batches they are."""
        return [parcel.party for parcel in self.parcels]

    def outputs(self) -> Iterator[tuple[Parcel, torch.Tensor]]:
        """Each parcel with what left the body: hidden states BLD, or logits BLV."""
        return zip(self.parcels, self._apart(self._output), strict=True)

    def losses(self) -> list[torch.Tensor]:
        """The summed loss of each parcel, where the output head is here."""
        return [
            loss_sum(logits_BLV, parcel.labels_BL)
            for parcel, logits_BLV in self.outputs()
            if parcel.labels_BL is not None
        ]

    def backward(self, gradients: Sequence[torch.Tensor]) -> None:
        """Go back from the gradient of each parcel's output, in their order."""
        with self._worn():
            torch.autograd.backward(self._output, self._together(list(gradients)))

    def backward_from(self, loss: torch.Tensor) -> None:
        """Go back from a loss."""
        with self._worn():
            torch.autograd.backward(loss)

    def input_gradients(self) -> Iterator[tuple[Parcel, torch.Tensor]]:
        """Each parcel with the gradient of what came in."""
        if self._hidden_BLD.grad is None:
            raise RuntimeError("the body gave no gradient")
        return zip(self.parcels, self._apart(self._hidden_BLD.grad), strict=True)

    def _worn(self) -> AbstractContextManager[None]:
        """Going back too, since a layer may be computed again then."""
        return self._bodies.worn(self.parties, self._sizes, max(self._lengths))

    def _together(self, parts: list[torch.Tensor]) -> torch.Tensor:
        if len(parts) == 1:
            return parts[0]
        longest = max(self._lengths)
        return torch.cat([_lengthened(part, longest - part.shape[1]) for part in parts])

    def _apart(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        if len(self.parcels) == 1:
            return [tensor]
        return [part[:, :length] for part, length in zip(tensor.split(self._sizes), self._lengths, strict=True)]


def _lengthened(tensor: torch.Tensor, more: int) -> torch.Tensor:
    """(B, L) or (B, L, D) with `more` zeros on the right of L."""
    return pad(tensor, (0, 0, 0, more) if tensor.dim() == 3 else (0, more)) if more else tensor
