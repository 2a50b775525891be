"""Hidden states and their gradients where they cross the cut: one `Crossings` at each end of a conversation.

Everything that a codec needs beyond the tensor (how to round, which positions are padding, what was sent of a row
before) is kept here, so that a step only says what crosses and where.

Shapes: B rows of a micro-batch, L tokens, D hidden, N real tokens of its rows, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.training.changes import Changes
from splitcore.training.clock import Clock
from splitcore.training.finite import Finite
from splitcore.training.kept_rows import KeptRows
from splitcore.training.row_cache import RowCache
from splitcore.wire.codecs import decode, encode
from splitcore.wire.messages import Message, Payload, Phase
from splitcore.wire.rounding import NEAREST, Draw, seed_of

GRADIENTS = (Phase.TAIL_UP, Phase.BODY_GRAD_DOWN)
MADE_BY = {Phase.HEAD_UP: "head", Phase.BODY_DOWN: "body", Phase.TAIL_UP: "tail", Phase.BODY_GRAD_DOWN: "body"}
ROWS = "rows"  # the tensor that tells the server a micro-batch's row numbers


@dataclass(frozen=True)
class Place:
    """The micro-batch that a tensor belongs to. `rows`: its row numbers at the data party; none in an evaluation."""

    step: int
    micro: int
    mask_BL: torch.Tensor
    rows: tuple[int, ...] | None = None

    def lengths(self) -> list[int]:
        """Real tokens of each row."""
        return [int(count) for count in self.mask_BL.sum(dim=1)]


class Crossings:
    """One end's view of everything that crosses the cut in one party's conversation."""

    def __init__(
        self, config: RunConfig, party: str, clock: Clock, *, width: int, holds: bool, folder: Path | None = None
    ) -> None:
        """`width`: D. `holds`: whether kept activations of a frozen head lie here. `folder`: for caches on disk."""
        wire = self._wire = config.wire
        self._seed, self._party, self._clock = config.training.seed, party, clock
        self._folder = folder if wire.cache_on == "disk" else None
        limit = wire.cache_mb * 1_000_000
        self.kept: KeptRows | None = None
        self._changes: dict[Phase, Changes] = {}
        if config.training.cache_activations:
            self.kept = KeptRows(width, wire.activations, limit=limit, holds=holds, folder=self._folder)
        if wire.changes is not None:
            for phase in (Phase.BODY_DOWN,) if self.kept else (Phase.HEAD_UP, Phase.BODY_DOWN):
                cache = RowCache(width, torch.bfloat16, limit=limit, folder=self._folder)
                self._changes[phase] = Changes(cache, first=wire.activations, then=wire.changes)
        self._tells_rows = bool(self.kept or self._changes)
        self._packs = wire.skip_padding or self._tells_rows
        self.finite = Finite()

    # ---- the micro-batch

    def needed(self, place: Place) -> list[bool]:
        """Which rows of a micro-batch the first crossing must carry: not those that the server keeps."""
        if self.kept is None or place.rows is None:
            return [True] * len(place.mask_BL)
        return [row not in self.kept for row in place.rows]

    def place(self, message: Message, device: torch.device | str) -> Place:
        """The micro-batch of a message that came over the first crossing. Raises AppError CL-1309."""
        rows: tuple[int, ...] | None = None
        if ROWS in message.tensors:
            rows = tuple(int(row) for row in decode(message.tensors[ROWS]))
        if message.evaluation or not self._tells_rows:
            rows = None
        elif rows is None:
            raise AppError("CL-1309", "A micro-batch came without its row numbers.")
        if "mask" in message.tensors:
            mask_BL = decode(message.tensors["mask"], device=device, dtype=torch.int64)
        elif self.kept is not None and rows is not None:
            mask_BL = self.kept.mask(rows).to(device)
        else:
            raise AppError("CL-1309", "A micro-batch came without its mask.")
        if rows is not None and len(rows) != len(mask_BL):
            raise AppError("CL-1309")
        return Place(message.step, message.micro, mask_BL, rows)

    def told(self, place: Place) -> dict[str, tuple[torch.Tensor, str]]:
        """What the first crossing says of a micro-batch: mask and, where something is remembered of them, rows."""
        tensors: dict[str, tuple[torch.Tensor, str]] = {}
        if any(self.needed(place)):
            tensors["mask"] = (place.mask_BL, "u8")
        if self._tells_rows and place.rows is not None:
            tensors[ROWS] = (torch.tensor(place.rows), "i64")
        return tensors

    # ---- tensors

    def send(self, phase: Phase, place: Place, tensor_BLD: torch.Tensor) -> dict[str, Payload]:
        """The encoded form of a tensor (B, L, D), by name."""
        with self._clock.stage("encode"):
            tensor = tensor_BLD.detach()[place.mask_BL.bool()] if self._packs else tensor_BLD
            tensor = self.finite.checked(tensor, MADE_BY[phase])
            if place.rows is not None and phase in self._changes:
                return self._changes[phase].send(place.rows, place.lengths(), tensor)
            if place.rows is not None and phase is Phase.HEAD_UP and self.kept is not None:
                self.finite.require("a row that is to be kept")
                return self.kept.send(place.rows, place.lengths(), tensor)
            return {"hidden": encode(tensor, self._format_of(phase), self._draw(phase, place))}

    def receive(
        self, message: Message, place: Place, *, device: torch.device | str, dtype: torch.dtype
    ) -> torch.Tensor:
        """The tensor (B, L, D) of a message; zeros at padding that was not sent. Raises AppError CL-1309, 1313."""
        with self._clock.stage("decode"):
            if not self._packs:
                tensor_BLD = self._decoded(message, place, device).to(dtype)
                if tensor_BLD.shape[:2] != place.mask_BL.shape:
                    raise AppError("CL-1309")
                return tensor_BLD
            phase, tensors = message.phase, message.tensors
            if place.rows is not None and phase in self._changes:
                tensor_ND = self._changes[phase].receive(place.rows, place.lengths(), tensors, device)
            elif place.rows is not None and phase is Phase.HEAD_UP and self.kept is not None:
                tensor_ND = self.kept.receive(place.rows, place.lengths(), tensors, device)
            else:
                tensor_ND = self._decoded(message, place, device)
            return _spread(tensor_ND.to(dtype), place.mask_BL.to(device))

    def _decoded(self, message: Message, place: Place, device: torch.device | str) -> torch.Tensor:
        if "hidden" not in message.tensors:
            raise AppError("CL-1309")
        return decode(message.tensors["hidden"], device=device, draw=self._draw(message.phase, place))

    def _format_of(self, phase: Phase) -> str:
        return self._wire.gradients if phase in GRADIENTS else self._wire.activations

    def _draw(self, phase: Phase, place: Place) -> Draw:
        """The rounding of this message; chance from (run seed, step, micro-batch, party, phase)."""
        if phase not in GRADIENTS or self._wire.gradient_rounding == "nearest":
            return NEAREST
        seed = seed_of(self._seed, place.step, place.micro, self._party, phase)
        return Draw(self._wire.gradient_rounding, seed)

    # ---- checkpoints

    def settle(self) -> None:
        """A step is complete at this end."""
        for changes in self._changes.values():
            changes.cache.settle()

    def state(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs to send the same bits, as of the last `settle`; empty without `wire.changes`."""
        return {
            f"{phase}.{name}": tensor
            for phase, changes in self._changes.items()
            for name, tensor in changes.cache.state().items()
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over what `state` gave at the same end of the same run."""
        for phase, changes in self._changes.items():
            changes.cache.restore({name: state[f"{phase}.{name}"] for name in ("rows", "tokens", "values")})

    def close(self) -> None:
        """Delete everything that was kept of rows."""
        for changes in self._changes.values():
            changes.cache.close()
        if self.kept is not None:
            self.kept.close()


def _spread(tensor_ND: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
    """Real tokens (N, D) at their places, zeros at the others (B, L, D). Raises AppError CL-1309."""
    real_BL = mask_BL.bool()
    if tensor_ND.dim() != 2 or len(tensor_ND) != int(real_BL.sum()):
        raise AppError("CL-1309")
    spread_BLD = tensor_ND.new_zeros(*mask_BL.shape, tensor_ND.shape[-1])
    spread_BLD[real_BL] = tensor_ND
    return spread_BLD
