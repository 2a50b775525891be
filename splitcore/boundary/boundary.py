"""Where a model is cut: what leaves passes every stage in order, and is passed back through them at the other end.

    protect (at a data party, inside autograd) → pack → judge → code, which may remember, and encodes

Each end of a party's conversation has one `Boundary`, so that a step only states what crosses and for which
micro-batch. Shapes: B rows of a micro-batch, L tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from splitcore.boundary.charging import Releases
from splitcore.boundary.coding import NO_MASK, Coding
from splitcore.boundary.finite import Finite
from splitcore.boundary.stages import At, ClientStage, Judge, Pack, Stage
from splitcore.codecs.payload import Payload
from splitcore.codecs.tensors import decode
from splitcore.control.clock import Clock
from splitcore.errors import AppError
from splitcore.wire.protocol.messages import Message, Phase

ROWS = "rows"  # the tensor with a micro-batch's row numbers


class Boundary:
    """One end's view of everything that crosses the cut in one party's conversation."""

    def __init__(
        self,
        party: str,
        clock: Clock,
        *,
        finite: Finite,
        codings: Mapping[Phase, Coding],
        of_rows: Mapping[Phase, Coding],
        packs: bool,
        client_stages: Sequence[ClientStage] = (),
        releases: Releases | None = None,
    ) -> None:
        """`codings`: of every phase. `of_rows`: of the phases in which what crossed of a row is remembered.

        `packs`: padding stays here, as it does wherever rows are remembered. `releases`: charges rows for what leaves.
        """
        self._releases = releases
        self._clock, self.party, self.finite, self._client_stages = clock, party, finite, tuple(client_stages)
        self._plain, self._of_rows = dict(codings), dict(of_rows)
        self._stages: list[Stage] = [*([Pack()] if packs or of_rows else []), Judge(finite)]

    # ---- the micro-batch

    def needed(self, at: At) -> list[bool]:
        """Which rows of a micro-batch must be sent: all but those the server has cached."""
        coding = self._of_rows.get(Phase.HEAD_UP)
        if coding is None or at.rows is None:
            return [True] * len(at.mask_BL)
        return [not coding.spares(row) for row in at.rows]

    def told(self, at: At) -> dict[str, tuple[torch.Tensor, str]]:
        """What goes up with a micro-batch: its mask and, where something is remembered of them, its rows."""
        tensors: dict[str, tuple[torch.Tensor, str]] = {}
        if any(self.needed(at)):
            tensors["mask"] = (at.mask_BL, "u8")
        if self._of_rows and at.rows is not None:
            tensors[ROWS] = (torch.tensor(at.rows), "i64")
        return tensors

    def at(self, message: Message, device: torch.device | str) -> At:
        """The micro-batch of a received message. Raises AppError CL-1309."""
        rows: tuple[int, ...] | None = None
        if ROWS in message.tensors:
            rows = tuple(int(row) for row in decode(message.tensors[ROWS]))
        if message.evaluation or not self._of_rows:
            rows = None
        elif rows is None:
            raise AppError("CL-1309", "A micro-batch arrived without its row numbers.")
        if "mask" in message.tensors:
            mask_BL = decode(message.tensors["mask"], device=device, dtype=torch.int64)
        elif rows is not None and Phase.HEAD_UP in self._of_rows:
            mask_BL = self._of_rows[Phase.HEAD_UP].mask(rows).to(device)
        else:
            raise AppError("CL-1309", NO_MASK)
        if rows is not None and len(rows) != len(mask_BL):
            raise AppError("CL-1309")
        return At(message.step, message.micro, mask_BL, rows)

    # ---- inside the autograd graph

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """The tensor after every stage's protection; the gradient flows back through all of them."""
        for stage in self._client_stages:
            tensor_BLD = stage.protect(tensor_BLD, phase, at)
        return tensor_BLD

    def losses(self, leaving_BLD: torch.Tensor, labels_BL: torch.Tensor, at: At) -> list[torch.Tensor]:
        """The losses that the stages add to the task's loss; none in an evaluation."""
        if not torch.is_grad_enabled():
            return []
        losses = (stage.loss(leaving_BLD, labels_BL, at) for stage in self._client_stages)
        return [loss for loss in losses if loss is not None]

    # ---- tensors

    def out(self, phase: Phase, at: At, tensor_BLD: torch.Tensor) -> dict[str, Payload]:
        """The payloads of a tensor (B, L, D), by name. Raises AppError CL-1570, CL-1820 where it may not leave."""
        with self._clock.stage("encode"):
            tensor = tensor_BLD.detach()
            if self._releases is not None and phase is Phase.HEAD_UP:
                self._releases.charge(tensor, at, self.needed(at))
            for stage in self._stages:
                tensor = stage.out(tensor, phase, at)
            return self._coding(phase, at).send(tensor, at)

    def back(self, message: Message, at: At, *, device: torch.device | str, dtype: torch.dtype) -> torch.Tensor:
        """The tensor (B, L, D) of a message; zeros at padding that was not sent. Raises AppError CL-1309, 1313."""
        with self._clock.stage("decode"):
            tensor = self._coding(message.phase, at).receive(message.tensors, at, device).to(dtype)
            for stage in reversed(self._stages):
                tensor = stage.back(tensor, message.phase, at)
            if tensor.shape[:2] != at.mask_BL.shape:
                raise AppError("CL-1309")
            return tensor

    def _coding(self, phase: Phase, at: At) -> Coding:
        """Evaluation rows have no numbers, so they are never remembered."""
        of_rows = self._of_rows.get(phase) if at.rows is not None else None
        return of_rows or self._plain[phase]

    # ---- checkpoints

    def settle(self) -> None:
        """A step is complete at this end."""
        for coding in self._of_rows.values():
            coding.settle()

    def state(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs to send the same bits, as of the last `settle`."""
        return {
            f"{phase}.{name}": tensor
            for phase, coding in self._of_rows.items()
            for name, tensor in coding.state().items()
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what `state` returned at the same end of the same run."""
        for phase, coding in self._of_rows.items():
            own = f"{phase}."
            coding.restore({name.removeprefix(own): value for name, value in state.items() if name.startswith(own)})

    def close(self) -> None:
        """Delete all cached rows."""
        for coding in self._of_rows.values():
            coding.close()
