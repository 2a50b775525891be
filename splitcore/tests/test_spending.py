"""In whose releases a row shows, and the law of what leaves of it."""

from __future__ import annotations

from typing import Any

import pytest

from splitcore.boundary.release import Reach
from splitcore.config import RunConfig
from splitcore.config.spending import reach_of, release_of

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
