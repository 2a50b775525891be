"""The rows that a run's noise is added to, as its public head and its clip give them (torch).

Lengths are in standard deviations of the noise throughout, so that a distance is B1's m.

Shapes: N tokens of a row, L tokens of the longest, D hidden, m values of a secret, F numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from splitcore.config import RunConfig
from splitcore.models.carve import Segment, hidden_width
from splitcore.models.loading import load_segment
from splitcore.privacy.clipping import clipped_rows, clipped_tokens
from splitcore.privacy.law import noise_alone, noise_among
from splitcore.run.plan import RunPlan

TOKENS = 4096  # in a pass through the head
ENOUGH = 8  # rows of other text at a place, for a mean of its own


def why_unbounded(config: RunConfig) -> str:
    """Why nothing bounds what hidden states of such a run tell, as a sentence; empty where something does."""
    noise = noise_alone(config.cut_strategies)
    if noise is None and noise_among(config.privacy.defences) is not None:
        return "Something else than the noise changes hidden states too, and the bounds know the noise alone."
    if noise is None:
        return "The run adds no noise whose law is known here."
    if not noise.law(1).is_gaussian:
        return f"The bounds hold for Gaussian noise of one size, which the noise of {noise.name} isn't."
    if config.lora.train_head:
        return "The head is trained, so each row is released again in every epoch, of other weights each time."
    return ""


class ClippedHead:
    """The first layers of a run and what is clipped of their output."""

    def __init__(self, plan: RunPlan, head: Segment | None = None) -> None:
        """Raises ValueError with the sentence of `why_unbounded`, AppError CL-1103."""
        config = plan.settings.config
        if why := why_unbounded(config):
            raise ValueError(why)
        choice = noise_alone(config.cut_strategies)
        assert choice is not None
        self.width = hidden_width(plan.model_config)
        self._law = choice.law(self.width)
        self._head = head or load_segment(plan.folder, plan.plans["head"], config.model)

    @property
    def radius(self) -> float:
        """What no token's row is longer than, in σ."""
        return self._law.radius(1)

    @property
    def clips_whole(self) -> bool:
        """Whether a record's rows are clipped together, so that `radius` is theirs, and a token acts on all of them."""
        return self._law.clips == "row"

    def reach(self, tokens: int) -> float:
        """What no record of so many tokens is longer than, in σ."""
        return self._law.radius(tokens)

    def acts_from(self, place: int) -> int:
        """The first row that a token at this place acts on."""
        return 0 if self.clips_whole else place

    @torch.no_grad()
    def rows(self, ids: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Clipped rows (N, D) over σ of token ids (N,), in their order."""
        clipped = clipped_rows if self.clips_whole else clipped_tokens
        found: dict[int, torch.Tensor] = {}
        waiting = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        while waiting:
            count = max(1, TOKENS // len(ids[waiting[-1]]))
            part, waiting = waiting[-count:], waiting[:-count]
            lengths_B = torch.tensor([len(ids[number]) for number in part])
            ids_BL = pad_sequence([ids[number] for number in part], batch_first=True)
            mask_BL = (torch.arange(ids_BL.shape[1]) < lengths_B[:, None]).long()
            rows_BLD = clipped(self._head(mask_BL, ids_BL=ids_BL), mask_BL, self._law.clip) / self._law.deviation
            found |= {
                number: row_LD[mask_L.bool()] for number, row_LD, mask_L in zip(part, rows_BLD, mask_BL, strict=True)
            }
        return [found[number] for number in range(len(ids))]

    def planted(self, carrier_N: torch.Tensor, place: int, values: Sequence[Sequence[int]]) -> torch.Tensor:
        """The rows (m, F) over σ that a secret at a place acts on, with each value's tokens there.

        It is what `secrets.bayes` takes, with σ = 1.

        Raises ValueError where values differ in length, since lengths are no secret.
        """
        if len({len(value) for value in values}) != 1:
            raise ValueError("values of a secret have equally many tokens")
        filled_mN = carrier_N.repeat(len(values), 1)
        filled_mN[:, place : place + len(values[0])] = torch.tensor([list(value) for value in values])
        return torch.stack([row_ND[self.acts_from(place) :].flatten() for row_ND in self.rows(list(filled_mN))])


def centre_of(rows: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    """Means of other text's rows by place (L, D); where few are that long, of all rows from there on."""
    centre_LD = torch.zeros(length, rows[0].shape[1], dtype=torch.float64)
    everything_D = torch.cat(list(rows)).double().mean(0)
    for place in range(length):
        here = [row_ND[place] for row_ND in rows if len(row_ND) > place]
        later = [row_ND[place:] for row_ND in rows if len(row_ND) > place]
        if len(here) >= ENOUGH:
            centre_LD[place] = torch.stack(here).double().mean(0)
        else:
            centre_LD[place] = torch.cat(later).double().mean(0) if later else everything_D
    return centre_LD


def spread_of(rows: Sequence[torch.Tensor], centre_LD: torch.Tensor) -> torch.Tensor:
    """Covariance (D, D) of other text's rows about their centre."""
    offset_ND = torch.cat([row_ND.double() - centre_LD[: len(row_ND)] for row_ND in rows])
    return offset_ND.t() @ offset_ND / len(offset_ND)
