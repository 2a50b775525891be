"""The attack `nearest_embedding` on recorded frames of real trainings, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks.figures import Figures, Truth, figures_of
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.registry import ATTACKS
from splitcore.audit.capture import PARTY, capture, plan_of
from splitcore.audit.scoring import truths_of
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
Found = tuple[list[torch.Tensor], list[Truth]]
NOTES = [{"prompt": f"Note {i}: seen on day {i * 7 % 31}.", "completion": f" ward {i * 5 % 17}"} for i in range(24)]
GAUSSIAN = {"defences": [{"name": "gaussian", "clip": 1.0, "noise": 1.0}]}
BARE = {"split": {"head_layers": 0}}


@pytest.fixture
def attacked(model: Model, tmp_path: Path) -> Callable[..., Found]:
    """A recorded training, what the attack guesses of each crossing, and what was there."""

    def run(distance: str = "cosine", **changes: Any) -> Found:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        taken = capture(run_config(model("llama"), **changes), NOTES, folder, epochs=1)
        plan = plan_of(taken.config)
        transcript = TranscriptReader(plan, PARTY).read(taken.recording)
        guesses = NearestEmbedding(distance=distance).build().guess(transcript, Knowledge(plan, PARTY))  # type: ignore[arg-type]
        return guesses, truths_of(taken, transcript, NearestEmbedding.channel)

    return run


def share(guesses: Sequence[torch.Tensor], truths: Sequence[Truth]) -> Figures:
    return figures_of(guesses, truths)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_without_a_head_or_a_defence_it_reads_every_token(attacked: Callable[..., Found], distance: str) -> None:
    guesses, truths = attacked(distance, **BARE)
    figures = share(guesses, truths)
    assert (figures.records, figures.counted) == (len(NOTES), sum(len(truth.ids_N) for truth in truths))
    assert figures.tokens.value >= 0.99


def test_of_other_records_it_reads_no_more_than_what_all_records_share(attacked: Callable[..., Found]) -> None:
    guesses, truths = attacked(**BARE)
    places = range(len(truths))
    pairs = [(one, two) for one in places for two in places
             if one != two and len(truths[one].ids_N) == len(truths[two].ids_N)]  # fmt: skip
    assert pairs
    null = share([guesses[one] for one, _ in pairs], [truths[two] for _, two in pairs])
    alike = share([truths[one].ids_N for one, _ in pairs], [truths[two] for _, two in pairs])
    assert null.tokens.value == pytest.approx(alike.tokens.value, abs=1e-9)
    assert null.tokens.high < 0.99


def test_noise_of_the_size_of_the_vectors_leaves_it_little(attacked: Callable[..., Found]) -> None:
    bare, noisy = share(*attacked(**BARE)), share(*attacked(**BARE, privacy=GAUSSIAN))
    assert noisy.tokens.high < 0.5 < bare.tokens.low


def test_the_registry_names_it() -> None:
    assert NearestEmbedding in ATTACKS
