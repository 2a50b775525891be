"""Values that are NaN, infinite or beyond the wire's bound: found where they are made, and the step applied nowhere.

The half that makes one sends zeros in its place, so that every conversation goes on in its order, and says so with
what it reports at the end of the step; the server half then tells all to drop the step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.training.checkpoint import Tensors
from splitcore.training.events import NonFinite
from splitcore.training.halves import Watch
from splitcore.wire.limits import ABS_MAX
from splitcore.wire.messages import Json, Message

MOST_IN_A_ROW = 10
PAUSED = frozenset({"CL-1532", "CL-1534"})  # with which a run ends so that people look, everything saved
PLACES = ("head", "body", "tail", "loss", "gradient")


@dataclass(frozen=True)
class Fault:
    """Where a step's first value that was not finite was made."""

    source: str  # the party, or "server"
    where: str  # one of PLACES
    rows: str = ""  # the data party whose micro-batch it was; none where it is a sum over several

    def body(self) -> dict[str, Json]:
        """What the server half tells everyone of it."""
        return {"source": self.source, "where": self.where, "rows": self.rows}

    @classmethod
    def read(cls, message: Message) -> Fault | None:
        """The fault that a message tells of."""
        source, where, rows = (message.body.get(key) for key in ("source", "where", "rows"))
        if not (isinstance(source, str) and isinstance(where, str) and where in PLACES):
            return None
        return cls(source, where, rows if isinstance(rows, str) else "")


class Finite:
    """Looks at what one half makes in one conversation; `where` is the first bad place since `clear`."""

    def __init__(self) -> None:
        self.where: str | None = None

    def checked(self, tensor: torch.Tensor, where: str) -> torch.Tensor:
        """The tensor, or zeros in its place."""
        if not tensor.numel():
            return tensor
        low, high = tensor.detach().aminmax()  # a NaN comes through, and needs no copy of the tensor
        if float(low) >= -ABS_MAX and float(high) <= ABS_MAX:
            return tensor
        self.where = self.where or where
        return torch.zeros_like(tensor)

    def number(self, value: float, where: str) -> float:
        """The number, or 0 in its place."""
        if math.isfinite(value):
            return value
        self.where = self.where or where
        return 0.0

    def clear(self) -> None:
        """A new step begins."""
        self.where = None

    def told(self) -> dict[str, Json]:
        """What an answer in an evaluation says of a bad value, which is no part of the next answer."""
        where, self.where = self.where, None
        return {} if where is None else {"fault": where}

    def require(self, what: str) -> None:
        """Where skipping a step is of no use. Raises AppError CL-1311."""
        if self.where is not None:
            where, self.where = self.where, None
            raise AppError("CL-1311", f"A value of {what} is not finite ({where}).", details={"where": where})


class Skips:
    """What follows from steps that were applied nowhere; counted alike in every half. A part of its checkpoint."""

    def __init__(self, watch: Watch, config: RunConfig) -> None:
        self._watch, self._pauses = watch, config.training.on_non_finite == "pause"
        self._in_a_row = 0
        self.ending: AppError | None = None  # with which every half ends after this step

    def note(self, step: int, fault: Fault | None) -> None:
        """Step number `step` (from 1) is complete, or was applied nowhere because of `fault`."""
        if fault is None:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._watch.emit(NonFinite(self._watch.party, step, fault.source, fault.where, fault.rows, self._pauses))
        code = "CL-1531" if self._in_a_row >= MOST_IN_A_ROW else "CL-1532" if self._pauses else ""
        if code:
            self.ending = _ended(code, f"Step {step}", step, fault)

    def evaluated(self, step: int, fault: Fault, *, may_pause: bool) -> None:
        """Held-out rows had `fault` after `step` completed steps. Raises AppError CL-1532 where that pauses the run."""
        pauses = self._pauses and may_pause
        self._watch.emit(
            NonFinite(self._watch.party, step, fault.source, fault.where, fault.rows, pauses, evaluation=True)
        )
        if pauses:
            raise _ended("CL-1532", f"The evaluation after step {step}", step, fault)

    def state(self) -> Tensors:
        """See `Part.state`."""
        return {"in_a_row": torch.tensor(self._in_a_row)}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `Part.restore`."""
        self._in_a_row = int(state["in_a_row"])


def _ended(code: str, what: str, step: int, fault: Fault) -> AppError:
    """The error with which the halves end because of `fault`."""
    details = {"party": fault.source, "where": fault.where, "rows": fault.rows, "step": step}
    rows = f", rows of '{fault.rows}'" if fault.rows not in ("", fault.source) else ""
    return AppError(
        code, f"{what} had a value that is not finite: {fault.where} of '{fault.source}'{rows}.", details=details
    )
