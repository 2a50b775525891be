"""Hidden states and their gradients where they cross the cut: one `Crossings` at each end of a conversation.

Everything that a codec needs beyond the tensor (how to round, which positions are padding, which rows it holds) is
kept here, so that a step only says what crosses and where.

Shapes: B rows of a micro-batch, L tokens, D hidden, N real tokens of all its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.training.clock import Clock
from splitcore.training.finite import Finite
from splitcore.wire.codecs import decode, encode
from splitcore.wire.messages import Json, Message, Payload, Phase
from splitcore.wire.rounding import NEAREST, Draw, seed_of

GRADIENTS = (Phase.TAIL_UP, Phase.BODY_GRAD_DOWN)
MADE_BY = {Phase.HEAD_UP: "head", Phase.BODY_DOWN: "body", Phase.TAIL_UP: "tail", Phase.BODY_GRAD_DOWN: "body"}


@dataclass(frozen=True)
class Place:
    """The micro-batch that a tensor belongs to. `rows`: its row numbers at the data party; none in an evaluation."""

    step: int
    micro: int
    mask_BL: torch.Tensor
    rows: tuple[int, ...] | None = None


class Crossings:
    """One end's view of everything that crosses the cut in one party's conversation."""

    def __init__(self, config: RunConfig, party: str, clock: Clock) -> None:
        self._wire, self._seed, self._party, self._clock = config.wire, config.training.seed, party, clock
        self.finite = Finite()

    def body(self, place: Place) -> dict[str, Json]:
        """What the message of a micro-batch's first crossing says of it beside the tensors."""
        return {}

    def place(self, message: Message, mask_BL: torch.Tensor) -> Place:
        """The micro-batch of a message that came over the first crossing."""
        return Place(message.step, message.micro, mask_BL)

    def send(self, phase: Phase, place: Place, tensor_BLD: torch.Tensor) -> dict[str, Payload]:
        """The encoded form of a tensor (B, L, D), by name."""
        with self._clock.stage("encode"):
            tensor = tensor_BLD[place.mask_BL.bool()] if self._wire.skip_padding else tensor_BLD
            tensor = self.finite.checked(tensor, MADE_BY[phase])
            return {"hidden": encode(tensor, self._format_of(phase), self._draw(phase, place))}

    def receive(
        self, message: Message, place: Place, *, device: torch.device | str, dtype: torch.dtype
    ) -> torch.Tensor:
        """The tensor (B, L, D) of a message; zeros at padding that was not sent. Raises AppError CL-1309."""
        with self._clock.stage("decode"):
            draw = self._draw(message.phase, place)
            tensor = decode(message.tensors["hidden"], device=device, dtype=dtype, draw=draw)
            if self._wire.skip_padding:
                return _spread(tensor, place.mask_BL.to(device))
            if tensor.shape[:2] != place.mask_BL.shape:
                raise AppError("CL-1309")
            return tensor

    def _format_of(self, phase: Phase) -> str:
        return self._wire.gradients if phase in GRADIENTS else self._wire.activations

    def _draw(self, phase: Phase, place: Place) -> Draw:
        """The rounding of this message; chance from (run seed, step, micro-batch, party, phase)."""
        if phase not in GRADIENTS or self._wire.gradient_rounding == "nearest":
            return NEAREST
        seed = seed_of(self._seed, place.step, place.micro, self._party, phase)
        return Draw(self._wire.gradient_rounding, seed)


def _spread(tensor_ND: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
    """Real tokens (N, D) at their places, zeros at the others (B, L, D). Raises AppError CL-1309."""
    real_BL = mask_BL.bool()
    if len(tensor_ND) != int(real_BL.sum()):
        raise AppError("CL-1309")
    spread_BLD = tensor_ND.new_zeros(*mask_BL.shape, tensor_ND.shape[-1])
    spread_BLD[real_BL] = tensor_ND
    return spread_BLD
