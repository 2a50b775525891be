"""The last stage: a tensor's values become payloads. A coding may remember what crossed before for a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from splitcore.boundary.stages import At
from splitcore.codecs.payload import Payload
from splitcore.codecs.rounding import NEAREST, Draw
from splitcore.codecs.tensors import decode, encode
from splitcore.errors import AppError

HIDDEN = "hidden"  # the tensor of a message that holds a micro-batch's values


NO_MASK = "A micro-batch arrived without its mask."


class Coding(ABC):
    """How the values of one phase cross. This one doesn't remember rows."""

    @abstractmethod
    def send(self, tensor: torch.Tensor, at: At) -> dict[str, Payload]:
        """The tensors of a message, by name."""

    @abstractmethod
    def receive(self, tensors: Mapping[str, Payload], at: At, device: torch.device | str) -> torch.Tensor:
        """The tensor sent at the other end, as exact as the format is. Raises AppError CL-1309, CL-1313."""

    def spares(self, row: int) -> bool:
        """Whether a row no longer has to cross."""
        return False

    def mask(self, rows: Sequence[int]) -> torch.Tensor:
        """The mask (B, L) of rows that are all known, padded on the right. Raises AppError CL-1309, CL-1313."""
        raise AppError("CL-1309", NO_MASK)

    def settle(self) -> None:  # noqa: B027 - a default: nothing is kept
        """A step is complete at this end."""

    def state(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs to send the same bits, as of the last `settle`."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 - a default: nothing is kept
        """Restore what `state` returned at the same end of the same run."""

    def close(self) -> None:  # noqa: B027 - a default: nothing is kept
        """Delete all cached rows."""


@dataclass(frozen=True)
class Format:
    """A codec, and how it rounds the values of a micro-batch: the same at both ends."""

    codec: str
    draw: Callable[[At], Draw] = lambda at: NEAREST

    def encode(self, tensor: torch.Tensor, at: At) -> Payload:
        """The payload of a tensor."""
        return encode(tensor, self.codec, self.draw(at))

    def decode(
        self, payload: Payload, at: At, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """The tensor of a payload. Raises AppError CL-1308, CL-1310."""
        return decode(payload, device=device, dtype=dtype, draw=self.draw(at))


class Plain(Coding):
    """Every value, each time, in one format."""

    def __init__(self, format_: Format) -> None:
        self._format = format_

    def send(self, tensor: torch.Tensor, at: At) -> dict[str, Payload]:
        """See `Coding.send`."""
        return {HIDDEN: self._format.encode(tensor, at)}

    def receive(self, tensors: Mapping[str, Payload], at: At, device: torch.device | str) -> torch.Tensor:
        """See `Coding.receive`."""
        if HIDDEN not in tensors:
            raise AppError("CL-1309")
        return self._format.decode(tensors[HIDDEN], at, device=device)
