"""What a detector looks at: a recorded training with the rows behind it, as the party that holds them can (torch).

Shapes: N tokens of a row, D hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from splitcore.attacks.transcript import Crossing, Transcript
from splitcore.audit.capture import Capture, Row
from splitcore.config import RunConfig
from splitcore.models.carve import Segment
from splitcore.models.loading import load_segment
from splitcore.privacy.clipping import clipped_tokens
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.law import noise_alone


@dataclass(frozen=True)
class Evidence:
    """crossings: of the training. rows: what each of them was. buckets: lengths that cross are multiples of this one;
    None where the run declares that exact lengths do.

    residuals: place of a row's first crossing → (N, D), what arrived less what the declared mechanism adds its noise
    to, in standard deviations of that noise. Only where the head was as it is public, since others aren't known here.
    """

    config: RunConfig
    crossings: Sequence[Crossing]
    rows: Sequence[Row]
    residuals: Mapping[int, torch.Tensor]
    buckets: int | None = None

    @property
    def noise(self) -> Gaussian | None:
        """Gaussian noise per token, which the detectors know, where it is the only thing that changes hidden states."""
        return declared_noise(self.config)

    @property
    def is_exact(self) -> bool:
        """Whether hidden states cross in a floating-point format, whose rounding is small beside any noise."""
        return self.config.wire.activations.name in ("fp32", "bf16", "fp16")


def evidence_of(taken: Capture, transcript: Transcript, *, buckets: int | None = None) -> Evidence:
    """From a recording and what its rows were. Raises AppError CL-1103."""
    crossings = [one for one in transcript.crossings if not one.evaluation]
    rows = [taken.rows[one.step, one.micro, one.place] for one in crossings]
    return Evidence(taken.config, crossings, rows, _residuals(taken, crossings, rows), buckets)


def declared_noise(config: RunConfig) -> Gaussian | None:
    """See `Evidence.noise`."""
    noise = noise_alone(config.cut_strategies)
    return noise if isinstance(noise, Gaussian) else None


@torch.no_grad()
def _residuals(taken: Capture, crossings: Sequence[Crossing], rows: Sequence[Row]) -> dict[int, torch.Tensor]:
    noise = declared_noise(taken.config)
    if noise is None:
        return {}
    plan = taken.plan
    head = load_segment(plan.folder, plan.plans["head"], taken.config.model)
    first = dict[int, int]()
    for place, row in enumerate(rows):
        if not (taken.config.lora.train_head and crossings[place].step):
            first.setdefault(row.number, place)
    return {
        place: (crossings[place].hidden_ND - _clipped(head, rows[place].ids_N, noise.clip)) / noise.deviation
        for place in first.values()
    }


def _clipped(head: Segment, ids_N: torch.Tensor, clip: float) -> torch.Tensor:
    """What the noise is added to (N, D): computed alone, as a head that isn't trained computes it."""
    mask_1N = torch.ones(1, len(ids_N), dtype=torch.int64)
    return clipped_tokens(head(mask_1N, ids_BL=ids_N.unsqueeze(0)), mask_1N, clip)[0]
