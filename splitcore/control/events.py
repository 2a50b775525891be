"""What a half tells while it runs: typed, numbers and names only, never a row (torch-free)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, TypeAlias

SERVER = "server"  # the party name in the server half's events


@dataclass(frozen=True)
class _Base:
    kind: ClassVar[str]
    party: str
    step: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, with its kind."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class PhaseChanged(_Base):
    """A half does something else now: loading_model, connecting, training, evaluating, paused, done, ..."""

    kind: ClassVar[str] = "phase"
    phase: str = ""


@dataclass(frozen=True)
class StepFinished(_Base):
    """An optimiser step is complete; `step` counts from 1. Loss is a mean per target token of this party."""

    kind: ClassVar[str] = "step"
    loss: float | None = None
    tokens: int = 0
    seen_tokens: int = 0  # all tokens that went through, those without a loss too; padding is not counted
    grad_norm: float = 0.0
    learning_rate: float = 0.0
    compute_seconds: float = 0.0
    send_seconds: float = 0.0
    wait_seconds: float = 0.0
    uplink_bytes: int = 0
    downlink_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)  # told by the server half: whose contribution is not in it


@dataclass(frozen=True)
class EvaluationFinished(_Base):
    """Held-out rows were measured after `step` optimiser steps: mean loss per target token, or per row with a label.

    None: it is not available because of a NaN or infinite value. accuracy and macro_f1: of a task with labels, where
    enough rows were measured that they tell of no single one.
    """

    kind: ClassVar[str] = "evaluation"
    loss: float | None = 0.0
    tokens: int = 0
    rows: int = 0
    seconds: float = 0.0
    accuracy: float | None = None
    macro_f1: float | None = None


@dataclass(frozen=True)
class SampleWritten(_Base):
    """The model's answer to a public prompt after `step` optimiser steps (0: the base model)."""

    kind: ClassVar[str] = "sample"
    index: int = 0
    prompt: str = ""
    text: str = ""


@dataclass(frozen=True)
class CheckpointChanged(_Base):
    """This half's state after `step` steps was saved, is what training resumes from, or is ignored as damaged."""

    kind: ClassVar[str] = "checkpoint"
    action: str = "saved"  # saved | resumed | ignored


@dataclass(frozen=True)
class NonFinite(_Base):
    """Step number `step` was applied nowhere, since a value of `source` was NaN, infinite or beyond the bound.

    `evaluation`: it was made where held-out rows were measured after `step` completed steps.
    """

    kind: ClassVar[str] = "non_finite"
    source: str = ""  # the party it came from, or "server"
    where: str = ""  # head, tail, body, loss, gradient: what was computed there
    rows: str = ""  # the data party whose micro-batch it was; none where it is a sum over several
    pauses: bool = False
    evaluation: bool = False


@dataclass(frozen=True)
class RowsLeftOut(_Base):
    """Rows of this party, and held-out ones, take no part: the prompt alone fills the longest row, `max_length`."""

    kind: ClassVar[str] = "left_out"
    rows: int = 0
    held_out: int = 0
    max_length: int = 0


@dataclass(frozen=True)
class PartyLate(_Base):
    """Parties had not brought their part of step number `step` in time; told by the server half."""

    kind: ClassVar[str] = "late"
    late: list[str] = field(default_factory=list)
    action: str = "continue"  # continue | pause


Event: TypeAlias = (
    PhaseChanged
    | StepFinished
    | EvaluationFinished
    | SampleWritten
    | CheckpointChanged
    | NonFinite
    | RowsLeftOut
    | PartyLate
)
_KINDS: dict[str, type[Event]] = {
    "phase": PhaseChanged,
    "step": StepFinished,
    "evaluation": EvaluationFinished,
    "sample": SampleWritten,
    "checkpoint": CheckpointChanged,
    "non_finite": NonFinite,
    "left_out": RowsLeftOut,
    "late": PartyLate,
}


def event_from_dict(data: dict[str, Any]) -> Event:
    """Read what `to_dict` wrote."""
    fields = dict(data)
    return _KINDS[str(fields.pop("kind"))](**fields)
