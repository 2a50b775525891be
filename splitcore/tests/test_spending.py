"""In whose releases a row shows, and the law of what leaves of it."""

from __future__ import annotations

from typing import Any

import pytest

from splitcore.boundary.release import Reach
from splitcore.config import RunConfig
from splitcore.config.spending import reach_of, release_of, spending_words

MODEL = {"name_or_path": "org/model"}


@pytest.mark.parametrize(
    ("train_head", "schedule", "parties", "reach"),
    [
        (False, "parallel", 3, Reach.OWN),
        (True, "parallel", 1, Reach.RUN),
        (True, "parallel", 2, Reach.OTHERS),
        (True, "sequential", 2, Reach.OTHERS),
        (True, "splitfed_v1", 2, Reach.OTHERS),
        (True, "splitfed_v3", 2, Reach.RUN),
        (True, "personalised", 2, Reach.RUN),
    ],
)
def test_a_row_reaches_as_far_as_the_head_that_it_trains(
    train_head: bool, schedule: str, parties: int, reach: Reach
) -> None:
    config = RunConfig.parse({"model": MODEL, "lora": {"train_head": train_head}, "schedule": schedule})
    assert reach_of(config, parties) is reach


def law(*defences: dict[str, Any], methods: tuple[str, ...] = ()) -> float | None:
    config = RunConfig.parse({"model": MODEL, "privacy": {"defences": list(defences)}, "methods": list(methods)})
    release = release_of(config, 9)
    return None if release is None else release.squared


def test_only_noise_of_a_known_law_has_one() -> None:
    assert law() is None
    assert law(methods=("auxiliary_loss",)) is None
    assert law({"name": "gaussian", "clip": 3.0, "noise": 0.5}) == (2 * 3.0 * 3 / 1.5) ** 2
    assert law({"name": "matrix_gaussian", "clip": 3.0, "noise": 0.5}) == (2 * 3.0 / 1.5) ** 2
    assert law({"name": "dchi"}) is law({"name": "importance_noise"}) is None


def test_the_last_defence_that_changes_hidden_states_decides() -> None:
    noise = {"name": "gaussian", "clip": 3.0, "noise": 0.5}
    assert law({"name": "token_mixup"}, noise) == law(noise, {"name": "nopeek"}) == law(noise)
    config = RunConfig.parse({"model": MODEL, "privacy": {"defences": [noise, {"name": "token_mixup"}]}})
    mixup, gaussian = config.privacy.defences  # in the order of the registry
    turned = config.privacy.model_copy(update={"defences": [gaussian, mixup]})
    assert release_of(config.model_copy(update={"privacy": turned}), 9) is None


@pytest.mark.parametrize(
    ("noise", "train_head", "parties", "words"),
    [
        (None, False, 1, "no bound, without noise of a known law."),
        (40.0, False, 2, "1.07 at δ = 1e-05, if it has 32 tokens. It is released once, however often it is sent."),
        (40.0, True, 1, "1.07 at δ = 1e-05, if it has 32 tokens, for one release. The trained head adds up all"),
        (40.0, True, 2, "no bound, since organisations share a trained head."),
    ],
)
def test_what_a_run_will_spend_is_said_in_words(
    noise: float | None, train_head: bool, parties: int, words: str
) -> None:
    defences = [] if noise is None else [{"name": "gaussian", "noise": noise}]
    sections: dict[str, Any] = {"privacy": {"defences": defences}, "lora": {"train_head": train_head}}
    config = RunConfig.parse({"model": MODEL, "training": {"max_length": 32}, **sections})
    assert spending_words(config, parties).startswith(words)
