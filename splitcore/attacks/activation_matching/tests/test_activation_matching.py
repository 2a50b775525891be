"""The attack `activation_matching` on recorded frames of real trainings, with its controls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from splitcore.attacks.activation_matching.config import ActivationMatching
from splitcore.attacks.figures import Figures, figures_of
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.tests.recorded import Recorded, null, recorded

Model = Callable[[str], Path]
GAUSSIAN = {"defences": [{"name": "gaussian", "clip": 0.25, "noise": 0.15}]}


@pytest.fixture(scope="module")
def bare(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded(model("gpt2"), tmp_path_factory.mktemp("taken"))


@pytest.fixture(scope="module")
def noisy(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded(model("gpt2"), tmp_path_factory.mktemp("taken"), privacy=GAUSSIAN)


def guesses(taken: Recorded, steps: int = 60) -> list[torch.Tensor]:
    return ActivationMatching(steps=steps).build().guess(taken.transcript, taken.knowledge())


def read(taken: Recorded, steps: int = 60) -> Figures:
    return figures_of(guesses(taken, steps), taken.truths)


def test_without_a_defence_and_without_any_text_it_reads_nearly_every_token(bare: Recorded) -> None:
    nearest = NearestEmbedding().build().guess(bare.transcript, bare.knowledge())
    assert figures_of(nearest, bare.truths).tokens.high < 0.8
    assert read(bare).tokens.value >= 0.97


def test_the_search_reads_more_than_where_it_starts_and_noise_costs_it(bare: Recorded, noisy: Recorded) -> None:
    started, searched = read(noisy, steps=1), read(noisy)
    assert started.tokens.high < searched.tokens.low
    assert searched.tokens.high < read(bare).tokens.low


def test_of_other_records_it_reads_no_more_than_what_all_records_share(bare: Recorded) -> None:
    others, alike = null(guesses(bare), bare.truths)
    assert others.tokens.value <= alike.tokens.value


def test_it_depends_on_the_seed_alone_and_leaves_the_public_layers_as_they_are(bare: Recorded) -> None:
    knowledge, other = bare.knowledge(), bare.knowledge()
    attack = ActivationMatching(steps=3).build()
    one, again = attack.guess(bare.transcript, knowledge), attack.guess(bare.transcript, knowledge)
    assert all(map(torch.equal, one, again))
    rows = [truth.ids_N for truth in bare.truths]
    assert all(map(torch.equal, knowledge.undefended(rows), other.undefended(rows)))


def test_the_registry_names_it() -> None:
    assert ActivationMatching in ATTACKS
