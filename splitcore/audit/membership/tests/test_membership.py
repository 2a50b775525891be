"""Membership figures on made-up scores, and scores of a real adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

from splitcore.attacks.tests.recorded import notes
from splitcore.audit.capture import capture
from splitcore.audit.membership.canaries import canaries_told
from splitcore.audit.membership.figures import auc, membership_of
from splitcore.audit.membership.one_run import epsilon_at_least
from splitcore.audit.membership.scores import calibrated
from splitcore.training.tests.conftest import run_config


def normal(count: int, mean: float, seed: int) -> list[float]:
    return (mean + torch.randn(count, generator=torch.Generator().manual_seed(seed))).tolist()


def test_scores_that_say_nothing_have_an_auc_of_a_half_within_the_interval() -> None:
    found = membership_of(normal(400, 0.0, 1), normal(1000, 0.0, 2))
    assert found.auc.low < 0.5 < found.auc.high
    assert found.at_1 is not None
    assert found.at_1.low <= 0.01 <= found.at_1.high


def test_the_figures_are_those_of_two_normal_laws() -> None:
    """Means 2 apart: AUC Φ(2/√2) = 0.921, and of members, Φ(2 − 2.326) = 0.372 are above 99 % of the others."""
    found = membership_of(normal(2000, 2.0, 3), normal(4000, 0.0, 4))
    assert found.auc.value == pytest.approx(0.921, abs=0.01)
    assert found.at_1 is not None
    assert found.at_01 is not None
    assert found.at_1.value == pytest.approx(0.372, abs=0.06)
    assert found.at_01.low <= 0.138 <= found.at_01.high


def test_a_share_of_fewer_than_one_row_is_not_told() -> None:
    found = membership_of([1.0, 2.0], [0.0] * 150)
    assert (found.auc.value, found.at_01) == (1.0, None)
    assert membership_of([1.0], [0.0] * 99).at_1 is None
    with pytest.raises(ValueError, match="both kinds"):
        membership_of([], [1.0])


def test_ties_count_half() -> None:
    assert auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])) == 0.75


@pytest.mark.parametrize("quantisation", ["none", "int8"])
def test_an_adapter_tells_the_rows_that_it_was_trained_on(
    quantisation: str, model: Callable[[str], Path], tmp_path: Path
) -> None:
    """Also beside a quantised base, whose weights can't take the adapter in."""
    members, others = notes(range(8)), notes(range(40, 64))
    training = {"learning_rate": 2e-2, "batch_size": 4}
    base = {"quantisation": quantisation}
    config = run_config(model("llama"), model=base, training=training, lora={"rank": 8})
    taken = capture(config, members, tmp_path, epochs=20)
    adapter = tmp_path / "run" / "adapter"
    found = membership_of(calibrated(taken.plan, adapter, members), calibrated(taken.plan, adapter, others))
    assert found.auc.low > 0.5
    assert (found.members, found.others) == (8, 24)


def test_canaries_bound_the_epsilon_of_a_training_without_noise(model: Callable[[str], Path], tmp_path: Path) -> None:
    """It has none, so that any bound is true, and one above zero is what an adapter that learns by heart must give."""
    draw = Random(5)
    canaries = [{"prompt": f"c{n}:", "completion": f" {draw.randrange(10**8):08d}"} for n in range(24)]
    training = {"learning_rate": 2e-2, "batch_size": 4}
    config = run_config(model("llama"), training=training, lora={"rank": 8})
    guesses = canaries_told(config, notes(range(4)), canaries, tmp_path, made=12, epochs=20)
    assert (guesses.made, guesses.canaries) == (12, 24)
    assert epsilon_at_least(guesses, delta=1e-5) > 0
