"""What the tests of attacks share: short notes as rows, recorded trainings, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.figures import Figures, Truth, figures_of
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import PARTY, Rows, capture, plan_of
from splitcore.audit.scoring import truths_of
from splitcore.config import RunConfig
from splitcore.run.plan import RunPlan
from splitcore.training.party_rows import PartyRows
from splitcore.training.tests.conftest import run_config


def notes(numbers: range) -> Rows:
    """Rows that share their pattern and differ in their numbers."""
    return [{"prompt": f"Note {i}: seen on day {i * 7 % 31}.", "completion": f" ward {i * 5 % 17}"} for i in numbers]


ATTACKED, OWN = notes(range(24)), notes(range(24, 120))  # the party's rows; text of the observer's own


@dataclass(frozen=True)
class Recorded:
    """A training on ATTACKED, as an observer has it, and what each crossing really was."""

    config: RunConfig
    transcript: Transcript
    truths: list[Truth]

    def knowledge(self, **more: Any) -> Knowledge:
        """Of an observer of this run."""
        return Knowledge(plan_of(self.config), PARTY, **more)


def recorded(model: Path, folder: Path, *, epochs: int = 1, **changes: Any) -> Recorded:
    """Sections in `changes` are merged into the configuration."""
    taken = capture(run_config(model, **changes), ATTACKED, folder, epochs=epochs)
    transcript = TranscriptReader(plan_of(taken.config), PARTY).read(taken.recording)
    return Recorded(taken.config, transcript, truths_of(taken, transcript, LeakChannel.HIDDEN))


def token_ids(plan: RunPlan, rows: Rows) -> list[torch.Tensor]:
    """Each row's token ids (N,)."""
    return [torch.tensor(row.ids) for row in PartyRows(plan, PARTY, rows, ())]


def null(guesses: Sequence[torch.Tensor], truths: Sequence[Truth]) -> tuple[Figures, Figures]:
    """Guesses scored against other records of the same length; and those records' truths scored so."""
    places = range(len(truths))
    pairs = [(one, two) for one in places for two in places
             if truths[one].record != truths[two].record
             and len(truths[one].ids_N) == len(truths[two].ids_N)]  # fmt: skip
    others = [truths[two] for _, two in pairs]
    return (
        figures_of([guesses[one] for one, _ in pairs], others),
        figures_of([truths[one].ids_N for one, _ in pairs], others),
    )
