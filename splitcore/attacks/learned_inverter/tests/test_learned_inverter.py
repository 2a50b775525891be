"""The attack `learned_inverter` on recorded frames of real trainings, with its controls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from splitcore.attacks.figures import Figures, figures_of
from splitcore.attacks.learned_inverter import network
from splitcore.attacks.learned_inverter.config import LearnedInverter
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.tests.recorded import OWN, Recorded, null, recorded, token_ids
from splitcore.errors import AppError

Taken = Callable[[str, str], Recorded]
GAUSSIAN = {"defences": [{"name": "gaussian", "clip": 0.25, "noise": 0.4}]}  # of the size of the hidden states


@pytest.fixture(scope="module")
def taken(model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """A family's training, with noise or bare, recorded once."""
    made: dict[tuple[str, str], Recorded] = {}

    def get(family: str, which: str) -> Recorded:
        if (family, which) not in made:
            privacy = GAUSSIAN if which == "noisy" else {}
            made[family, which] = recorded(model(family), tmp_path_factory.mktemp("taken"), privacy=privacy)
        return made[family, which]

    return get


def guesses(
    attacked: Recorded, *, trained_on: Recorded | None = None, seed: int = 0, **fields: object
) -> list[torch.Tensor]:
    observer = trained_on or attacked
    knowledge = observer.knowledge(seed=seed)
    knowledge.auxiliary = token_ids(knowledge.plan, OWN)
    return LearnedInverter(**fields).build().guess(attacked.transcript, knowledge)  # type: ignore[arg-type]


def read(attacked: Recorded, **how: object) -> Figures:
    return figures_of(guesses(attacked, **how), attacked.truths)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["linear", "mlp", "gru"])
def test_without_a_defence_it_reads_nearly_every_token(taken: Taken, kind: str) -> None:
    assert read(taken("llama", "bare"), kind=kind, epochs=3).tokens.value >= 0.99
    attacked = taken("gpt2", "bare")
    nearest = NearestEmbedding().build().guess(attacked.transcript, attacked.knowledge())
    figures = read(attacked, kind=kind, epochs=3)
    assert figures.tokens.low > figures_of(nearest, attacked.truths).tokens.high
    assert figures.tokens.value >= 0.88


def test_noise_costs_it_less_when_it_learns_from_noisy_releases_and_from_the_whole_row(taken: Taken) -> None:
    noisy, bare = taken("llama", "noisy"), taken("llama", "bare")
    unaware, alone = read(noisy, trained_on=bare, kind="linear"), read(noisy, kind="linear")
    in_row = read(noisy, kind="gru")
    assert unaware.tokens.high < 0.2
    assert 0.5 < alone.tokens.low < alone.tokens.high < in_row.tokens.low
    assert in_row.tokens.high < 0.97


def test_of_other_records_it_reads_no_more_than_what_all_records_share(taken: Taken) -> None:
    for which in ("bare", "noisy"):
        attacked = taken("llama", which)
        others, alike = null(guesses(attacked, kind="linear"), attacked.truths)
        assert others.tokens.value <= alike.tokens.value


def test_it_depends_on_the_seed_alone(taken: Taken) -> None:
    noisy = taken("llama", "noisy")
    one, again, other = (guesses(noisy, seed=seed, epochs=1) for seed in (1, 1, 2))
    assert all(map(torch.equal, one, again))
    assert not all(map(torch.equal, one, other))


def test_among_some_of_the_tokens_it_learns_to_tell_all_of_them(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CANDIDATES", 64)  # of 264: as few as of a large vocabulary
    noisy = taken("llama", "noisy")
    assert read(noisy, epochs=6).tokens.low > read(noisy, kind="linear").tokens.high


@pytest.mark.parametrize("rows", [0, 1])
def test_without_text_of_its_own_it_is_refused(taken: Taken, rows: int) -> None:
    attacked = taken("llama", "bare")
    knowledge = attacked.knowledge()
    knowledge.auxiliary = token_ids(knowledge.plan, OWN)[:rows]
    with pytest.raises(AppError, match="CL-1560"):
        LearnedInverter().build().guess(attacked.transcript, knowledge)


def test_the_registry_names_it() -> None:
    assert LearnedInverter in ATTACKS
