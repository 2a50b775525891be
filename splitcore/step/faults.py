"""Values that are NaN, infinite or beyond the wire's bound: found at their source; the step is then applied nowhere.

The half that produces one sends zeros in its place, so that every conversation stays in order, and reports it with
what it reports at the end of the step; the server half then tells all to drop the step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from splitcore.checkpoints.files import Tensors
from splitcore.config import RunConfig
from splitcore.control.controller import Controller
from splitcore.control.events import SERVER, NonFinite
from splitcore.errors import AppError
from splitcore.step.link import out_of_turn
from splitcore.wire.protocol.messages import Json, Message

MOST_IN_A_ROW = 10
PLACES = ("head", "body", "tail", "loss", "gradient")


@dataclass(frozen=True)
class Fault:
    """Where a step's first value that wasn't finite was produced."""

    source: str  # the party, or "server"
    where: str  # one of PLACES
    rows: str = ""  # the data party whose micro-batch it was; empty for a sum over several

    def body(self) -> dict[str, Json]:
        """What the server half reports to everyone."""
        return {"source": self.source, "where": self.where, "rows": self.rows}

    @classmethod
    def read(cls, message: Message, parties: Collection[str]) -> Fault | None:
        """The fault reported in a message, if any. Raises AppError CL-1505 for one that no half could have.

        It ends up in this site's records, so no free text from the other half may pass.
        """
        source, where, rows = (message.body.get(key) for key in ("source", "where", "rows"))
        if where is None:
            return None
        if where not in PLACES or source not in (SERVER, *parties) or rows not in ("", *parties):
            raise out_of_turn(message)
        return cls(str(source), str(where), str(rows))


class Skips:
    """Counts steps that were applied nowhere, in the same way in every half. Part of the half's checkpoint."""

    def __init__(self, controller: Controller, config: RunConfig) -> None:
        self._controller, self._pauses = controller, config.training.on_non_finite == "pause"
        self._in_a_row = 0
        self.ending: AppError | None = None  # the error with which every half ends after this step

    def note(self, step: int, fault: Fault | None) -> None:
        """Step number `step` (from 1) is complete, or was applied nowhere because of `fault`."""
        if fault is None:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._controller.emit(
            NonFinite(self._controller.party, step, fault.source, fault.where, fault.rows, self._pauses)
        )
        code = "CL-1531" if self._in_a_row >= MOST_IN_A_ROW else "CL-1532" if self._pauses else ""
        if code:
            self.ending = _ended(code, f"Step {step}", step, fault)

    def evaluated(self, step: int, fault: Fault, *, may_pause: bool) -> None:
        """Held-out rows had `fault` after `step` completed steps. Raises AppError CL-1532 if that pauses the run."""
        pauses = self._pauses and may_pause
        self._controller.emit(
            NonFinite(self._controller.party, step, fault.source, fault.where, fault.rows, pauses, evaluation=True)
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
        code, f"{what} had a NaN or infinite value: {fault.where} of '{fault.source}'{rows}.", details=details
    )
