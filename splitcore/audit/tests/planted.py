"""Defences with one fault each, and trainings that have one: what the detectors are tested on.

A fault is in the data party's own stage, so that what is recorded crossed the real wire.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch
from pydantic import PrivateAttr

from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, Capture, capture, plan_of
from splitcore.audit.leaks.evidence import Evidence, evidence_of
from splitcore.audit.leaks.found import Leak
from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At, ClientStage
from splitcore.config import RunConfig
from splitcore.privacy.clipping import clipped_tokens
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.gaussian.stage import GaussianStage
from splitcore.privacy.noise import Noise
from splitcore.privacy.secret import job_secret
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Phase

ROWS, EPOCHS, BUCKET = 40, 2, 8
NOISE = Gaussian(clip=1.0, noise=0.1)
LEAST, MOST = 0.005, 0.05  # of the places that have a fault, where only some do


@dataclass(frozen=True)
class Fault:
    """leak: which one. share: of the places that have it, where only some do. ids: row number → its token ids."""

    leak: Leak
    share: float
    seed: int
    ids: tuple[torch.Tensor, ...] = ()


class Faulty(Gaussian):
    """The declared noise with a fault that nothing declares."""

    _fault: Fault = PrivateAttr()

    @classmethod
    def of(cls, fault: Fault) -> Faulty:
        defence = cls(clip=NOISE.clip, noise=NOISE.noise)
        defence._fault = fault
        return defence

    def build(self, place: Place) -> ClientStage:
        return FaultyStage(self, Noise(job_secret(place.folder)), self._fault)


class FaultyStage(GaussianStage):
    def __init__(self, choice: Gaussian, noise: Noise, fault: Fault) -> None:
        super().__init__(choice, noise)
        self._deviation, self._clip, self._fault = choice.deviation, choice.clip, fault
        self._draw = torch.Generator().manual_seed(fault.seed)

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        sent_BLD = super().protect(tensor_BLD, phase, at)
        if phase is Phase.TAIL_UP and self._fault.leak == "zero_rows":
            return torch.where(self._chosen(at).unsqueeze(-1), 0.0, sent_BLD)
        if phase is not Phase.HEAD_UP:
            return sent_BLD
        clipped_BLD = clipped_tokens(tensor_BLD, at.mask_BL, self._clip)
        match self._fault.leak:
            case "token_ids":
                return self._with_ids(sent_BLD, at)
            case "reused_noise":
                again = torch.Generator().manual_seed(self._fault.seed)
                return clipped_BLD + self._deviation * torch.randn(clipped_BLD.shape, generator=again)
            case "batch_noise":
                drawn_1LD = torch.randn(1, *clipped_BLD.shape[1:], generator=self._draw)
                return clipped_BLD + self._deviation * drawn_1LD
            case "epoch_noise":
                return clipped_BLD + self._deviation * torch.randn(clipped_BLD.shape, generator=self._draw)
            case "noise_law":
                return clipped_BLD + (sent_BLD - clipped_BLD) / 2
        return sent_BLD

    def _with_ids(self, sent_BLD: torch.Tensor, at: At) -> torch.Tensor:
        assert at.rows is not None
        found_BLD = sent_BLD.clone()
        chosen_BL = self._chosen(at)
        for row, number in enumerate(at.rows):
            ids_N = self._fault.ids[number]
            places = chosen_BL[row, : len(ids_N)].nonzero().flatten()
            found_BLD[row, places, 0] = ids_N[places].to(found_BLD)
        return found_BLD

    def _chosen(self, at: At) -> torch.Tensor:
        """Some real places (B, L), drawn."""
        drawn_BL = torch.rand(at.mask_BL.shape, generator=self._draw)
        return (drawn_BL < self._fault.share) & at.mask_BL.bool()


def rows_of(seed: int, *, even: bool = True) -> list[dict[str, str]]:
    """Made-up rows of bytes; of lengths that are multiples of BUCKET where that is declared."""
    draw = Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    wanted = [BUCKET * draw.randint(2, 3) - (0 if even else draw.randint(0, 7)) for _ in range(ROWS)]
    texts = ["".join(draw.choice(letters) for _ in range(length - 1)) for length in wanted]  # and the end of text
    return [{"prompt": text[:6], "completion": text[6:]} for text in texts]


def taken_with(model: Path, folder: Path, leak: Leak | None, *, share: float = 0.0, seed: int = 0) -> Evidence:
    """A recorded training of rows of its own, with one leak or none."""
    rows = rows_of(seed, even=leak != "lengths")
    config = run_config(
        model,
        lora={"train_head": False},
        split={"head_layers": 1, "tail_layers": 1},
        training={"micro_batches": 2, "batch_size": 20, "seed": seed},
        privacy={"defences": [NOISE.model_dump()]},
    )
    clean = config
    if leak is not None and leak != "lengths":
        config = _faulty(config, Fault(leak, share, seed, _ids(config, rows) if leak == "token_ids" else ()))
    taken: Capture = capture(config, rows, folder, epochs=EPOCHS)
    transcript = TranscriptReader(plan_of(taken.config), PARTY).read(taken.recording)
    declared = taken.config.model_copy(update={"privacy": clean.privacy})
    return evidence_of(replace(taken, config=declared), transcript, buckets=BUCKET)


def _faulty(config: RunConfig, fault: Fault) -> RunConfig:
    return config.model_copy(update={"privacy": config.privacy.model_copy(update={"defences": [Faulty.of(fault)]})})


def _ids(config: RunConfig, rows: list[dict[str, str]]) -> tuple[torch.Tensor, ...]:
    from splitcore.training.party_rows import PartyRows

    return tuple(torch.tensor(row.ids) for row in PartyRows(plan_of(config), PARTY, rows, ()))


def share_of(number: int, count: int) -> float:
    """The shares of so many captures go from LEAST to MOST by equal factors."""
    return LEAST * (MOST / LEAST) ** (number / max(count - 1, 1))
