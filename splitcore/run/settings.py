"""What a half is given, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from splitcore.boundary.release import Accountant
from splitcore.config import RunConfig
from splitcore.control.controller import Desired
from splitcore.control.events import Event
from splitcore.masking.agreement import Signatory
from splitcore.models.manifest import Manifest

MAX_SAMPLES = 8  # prompts that are answered at each evaluation


def _ignore(_event: Event) -> None:
    """Nobody listens."""


def _unseen(_stage: str, _step: int) -> None:
    """Nobody watches."""


def _run() -> Desired:
    """Nobody interferes."""
    return "run"


@dataclass(frozen=True)
class HalfSettings:
    """What a half is given; see the fields' comments. `emit` and `control` are called often: keep them cheap."""

    config: RunConfig
    parties: Sequence[str]  # every data party, in the contract's order
    model_source: str | Path  # local folder, or id on the model hub
    out: Path  # segments and checkpoints are written here
    run: str = "run"
    contract: str = ""  # hash of the contract; both halves must show the same
    manifest: Manifest | None = None  # what the base model is verified against
    device: str | None = None  # None: cuda where there is one
    emit: Callable[[Event], None] = _ignore
    control: Callable[[], Desired] = _run
    checkpoints: Path | None = None  # this half's own folder, which outlives the attempt: `Checkpointer`
    accountant: Accountant | None = None  # who charges a data party's rows for what leaves of them
    signatory: Signatory | None = None  # of a data party's half, where sums are masked
    observe: Callable[[str, int], None] = _unseen  # stage or point, step: for drills

    @property
    def checkpoint_folder(self) -> Path:
        """Where this half's checkpoints lie."""
        return self.checkpoints or self.out / "checkpoints"


@dataclass(frozen=True)
class HalfResult:
    """How a half ended."""

    status: Literal["done", "stopped"]
    step: int
    uplink_bytes: int
    downlink_bytes: int
    seconds: dict[str, float]
    segments: list[Path] = field(default_factory=list)
    checkpoint: Path | None = None  # the newest, where it was stopped
