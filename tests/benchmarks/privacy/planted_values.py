"""Secrets: one of m equally likely numbers in a text that is known otherwise, behind the real defence.

attack: the values are enumerated and compared with what the defence let out. b3: the exact reader.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from splitcore.audit.capture import PARTY, plan_of
from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At, ClientStage
from splitcore.ceilings.confidence import Hits
from splitcore.ceilings.rows import ClippedHead
from splitcore.ceilings.secrets import bayes, likeliest
from splitcore.config import RunConfig
from splitcore.models.loading import load_segment, read_tokenizer
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.wire.protocol.messages import Phase
from tests.benchmarks.frame import Scale
from tests.benchmarks.privacy.models import recipe
from tests.benchmarks.privacy.settings import CLIP, DEMO, REAL, Sections, gaussian

CARRIERS = ("The table for {} is booked", "Room {} was paid for", "Call {} before noon", "Order {} is late again")
ROWS = 64  # released at once
VALUES = (10, 100, 1000)
NOISES = (0.1, 0.3, 1.0)  # σ over the clip
Tokens = list[list[int]]


def secret_cells(scale: Scale) -> list[dict[str, Any]]:
    """For each model, noise and number of values."""
    return [
        cell for model in (DEMO, REAL)[: scale.of(2, 1)] for noise in NOISES for cell in _cells(model, noise, scale)
    ]


def _cells(model: str, noise: float, scale: Scale) -> Iterator[dict[str, Any]]:
    released = Released(model, gaussian(noise, CLIP[model]), scale)
    for m in VALUES[: scale.of(3, 2)]:
        attack, b3 = released.measured(m, attacks=scale.of(2000, 200), draws=scale.of(20_000, 2000))
        yield {"model": model, "noise": noise, "m": m, "attack": _share(attack), "b3": _share(b3)}


def _share(hits: Hits) -> dict[str, float]:
    return {"value": hits.value, "low": hits.lower(), "high": hits.upper()}


class Released:
    """A model's head and a defence, as a party builds them."""

    def __init__(self, model: str, sections: Sections, scale: Scale) -> None:
        how = recipe(model, scale)
        self._config = RunConfig.parse({**how.config(0), **sections})
        self._plan = plan_of(self._config)
        self._segment = load_segment(self._plan.folder, self._plan.plans["head"], self._config.model)
        self._head = ClippedHead(self._plan, self._segment)
        self._tokenizer = read_tokenizer(self._plan.folder)
        (self._choice,) = self._config.privacy.defences
        assert isinstance(self._choice, Gaussian)
        self._deviation = self._choice.deviation

    def measured(self, m: int, *, attacks: int, draws: int) -> tuple[Hits, Hits]:
        """How often the value is read behind the defence, and by the exact reader."""
        values = self._values(m)
        carriers = [self._carrier(text, values) for text in CARRIERS]
        rows = [self._head.planted(carrier_N, place, values) for carrier_N, place in carriers]
        each = attacks // len(CARRIERS)
        right = sum(
            self._read(carrier_N, place, values, rows_mF, each, seed)
            for seed, ((carrier_N, place), rows_mF) in enumerate(zip(carriers, rows, strict=True))
        )
        return Hits(right, each * len(CARRIERS)), bayes(rows, 1.0, draws=draws)

    def _values(self, m: int) -> Tokens:
        """m numbers of equally many tokens."""
        written = [self._tokenizer(str(m + value), add_special_tokens=False).input_ids for value in range(m)]
        return [list(tokens) for tokens in written]

    def _carrier(self, text: str, values: Tokens) -> tuple[torch.Tensor, int]:
        """Ids of the text with the first value in it, and the value's place."""
        before, _, behind = text.partition("{}")
        start = list(self._tokenizer(before).input_ids)
        end = list(self._tokenizer(behind, add_special_tokens=False).input_ids)
        return torch.tensor([*start, *values[0], *end]), len(start)

    @torch.no_grad()
    def _read(
        self, carrier_N: torch.Tensor, place: int, values: Tokens, rows_mF: torch.Tensor, count: int, seed: int
    ) -> int:
        """How many of `count` releases the attacker reads; each is a row of its own to the defence."""
        value_B = torch.randint(len(values), (count,), generator=torch.Generator().manual_seed(seed))
        ids_BN = carrier_N.repeat(count, 1)
        ids_BN[:, place : place + len(values[0])] = torch.tensor(values)[value_B]
        right, stage = 0, self._stage()
        for rows_B in torch.arange(count).split(ROWS):
            mask_BL = torch.ones_like(ids_BN[rows_B])
            at = At(0, 0, mask_BL, tuple(rows_B.tolist()))
            hidden_BLD = stage.protect(self._segment(mask_BL, ids_BL=ids_BN[rows_B]), Phase.HEAD_UP, at)
            found_B = likeliest((hidden_BLD[:, place:] / self._deviation).flatten(1), rows_mF)
            right += int((found_B == value_B[rows_B]).sum())
        return right

    def _stage(self) -> ClientStage:
        with tempfile.TemporaryDirectory() as folder:
            return self._choice.build(Place(self._config, PARTY, self._segment, self._head.width, Path(folder)))
