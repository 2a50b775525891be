"""A run with noise on the tiny model: its head, its rows, and releases from the real defence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from splitcore.attacks.interface import Knowledge
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.attacks.transcript import Crossing, Transcript
from splitcore.audit.capture import PARTY, plan_of
from splitcore.boundary.stages import At
from splitcore.ceilings.measure import Record
from splitcore.ceilings.rows import ClippedHead
from splitcore.config import RunConfig
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.gaussian.stage import GaussianStage
from splitcore.privacy.noise import Noise
from splitcore.run.plan import RunPlan
from splitcore.training.party_rows import PartyRows
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Phase

CLIP = 0.22  # most rows of the tiny model are longer
LONGEST = 32
DAYS, WARDS = ("mon", "tue", "wed", "thu", "fri"), ("north", "south", "east")


def notes(count: int, *, word: str) -> list[dict[str, Any]]:
    """Rows of one party, or of another."""
    return [{"prompt": f"{word} {i * 37 % 89} seen {DAYS[i % 5]} at {i * 7 % 24}",
             "completion": f" {WARDS[i % 3]}"} for i in range(count)]  # fmt: skip


def noisy_config(folder: Path, noise: float, *, clip: float = CLIP, **changes: Any) -> RunConfig:
    """A frozen head of one layer; `noise` is σ over the clip."""
    privacy = {"defences": [{"name": "gaussian", "clip": clip, "noise": noise}]}
    return run_config(folder, **{"privacy": privacy, "lora": {"train_head": False}, **changes})


@dataclass(frozen=True)
class NoisyRun:
    """Everything that a test of a ceiling needs of a run."""

    config: RunConfig

    @cached_property
    def plan(self) -> RunPlan:
        """Of the run."""
        return plan_of(self.config)

    @cached_property
    def head(self) -> ClippedHead:
        """What the ceilings are measured with."""
        return ClippedHead(self.plan)

    @cached_property
    def choice(self) -> Gaussian:
        """The declared noise."""
        (choice,) = self.config.privacy.defences
        assert isinstance(choice, Gaussian)
        return choice

    @cached_property
    def knowledge(self) -> Knowledge:
        """What an attacker has."""
        return Knowledge(self.plan, PARTY)

    def ids(self, count: int, *, word: str = "note") -> list[torch.Tensor]:
        """Token ids (N,) of a party's rows."""
        return [torch.tensor(one.ids) for one in PartyRows(self.plan, PARTY, notes(count, word=word), ())]

    def records(self, ids: Sequence[torch.Tensor]) -> list[Record]:
        """All tokens scored but the first, which every row has."""
        return [Record(ids_N, torch.arange(len(ids_N)) > 0) for ids_N in ids]

    def released(
        self, rows: Sequence[torch.Tensor], *, secret: int, choice: Gaussian | None = None, noise: type[Noise] = Noise
    ) -> list[torch.Tensor]:
        """Rows (N, D) over σ through the defence itself: with its own noise, in the vectors' own unit."""
        lengths_B = torch.tensor([len(row_ND) for row_ND in rows])
        tensor_BLD = pad_sequence(list(rows), batch_first=True).float() * self.choice.deviation
        mask_BL = (torch.arange(tensor_BLD.shape[1]) < lengths_B[:, None]).long()
        stage = GaussianStage(choice or self.choice, noise(secret.to_bytes(32, "big")))
        noisy_BLD = stage.protect(tensor_BLD, Phase.HEAD_UP, At(0, 0, mask_BL, tuple(range(len(rows)))))
        return [noisy_LD[mask_L.bool()] for noisy_LD, mask_L in zip(noisy_BLD, mask_BL, strict=True)]

    def read(self, released: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What the attack `nearest_embedding` makes of releases (N, D)."""
        crossings = [Crossing(0, 0, place, False, row_ND) for place, row_ND in enumerate(released)]
        return NearestEmbedding().build().guess(Transcript(PARTY, crossings), self.knowledge)
