"""Trainings with one planted leak each are told from clean ones, and the committed record of many more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from splitcore.attacks.transcript import Crossing
from splitcore.audit.capture import Row
from splitcore.audit.leaks.evidence import Evidence
from splitcore.audit.leaks.found import LEAKS, Leak
from splitcore.audit.leaks.noise import NO_NOISE, OTHER_NOISE, noise_law
from splitcore.audit.leaks.planted import LEAST_POWER, MOST_ALARMS, planted_record
from splitcore.audit.leaks.registry import DETECTORS, looked_for
from splitcore.audit.leaks.statistics import chi_square_below, correlated, kolmogorov, poisson_above
from splitcore.audit.portfolio import portfolio
from splitcore.audit.tests.planted import taken_with
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]


def found(evidence: Evidence) -> set[Leak]:
    return {one.leak for one in looked_for(evidence) if one.outcome == "found"}


@pytest.mark.parametrize("leak", list(LEAKS))
def test_a_planted_leak_is_found(model: Model, tmp_path: Path, leak: Leak) -> None:
    assert leak in found(taken_with(model("llama"), tmp_path, leak, share=0.02, seed=3))


def test_a_clean_training_raises_no_alarm_though_every_leak_is_looked_for(model: Model, tmp_path: Path) -> None:
    seen = looked_for(taken_with(model("llama"), tmp_path, None, seed=4))
    assert [(one.leak, one.outcome) for one in seen] == [(leak, "not_found") for leak in LEAKS]


def test_the_committed_record_is_of_these_portfolios_and_good_enough() -> None:
    record = planted_record()
    assert {record.portfolio} == {portfolio("quick").version, portfolio("full").version}
    assert (record.planted, record.clean) == (60, 300)
    assert record.found >= LEAST_POWER * record.planted
    assert record.alarms <= MOST_ALARMS * record.clean
    assert record.passed


@pytest.mark.parametrize(("found_", "alarms"), [(56, 0), (60, 4)])
def test_a_record_with_too_many_misses_or_alarms_does_not_pass(found_: int, alarms: int) -> None:
    assert not planted_record().model_copy(update={"found": found_, "alarms": alarms}).passed


def test_every_leak_has_a_detector() -> None:
    assert list(DETECTORS) == list(LEAKS)


def test_without_declared_noise_only_what_needs_none_is_looked_for() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, 200, (12,), generator=draw) for _ in range(9)]
    crossings = [
        Crossing(n, 0, 0, False, torch.randn(12, 8, generator=draw), None, torch.randn(12, 8)) for n in range(9)
    ]
    evidence = Evidence(run_config(Path("model")), crossings, [Row(ids, ids, n) for n, ids in enumerate(rows)], {})
    outcomes = {one.leak: one.outcome for one in looked_for(evidence)}
    assert {leak for leak, outcome in outcomes.items() if outcome == "not_found"} == {"token_ids", "zero_rows"}
    assert {outcome for leak, outcome in outcomes.items() if leak not in ("token_ids", "zero_rows")} == {"not_looked"}


@pytest.mark.parametrize(
    ("defences", "told"),
    [
        ([], NO_NOISE),
        (["nopeek"], NO_NOISE),
        (["dchi"], OTHER_NOISE),
        (["importance_noise"], OTHER_NOISE),
        (["matrix_gaussian"], OTHER_NOISE),
        (["token_mixup", "gaussian"], OTHER_NOISE),
        (["gaussian"], "The head was never as it is public."),
        (["nopeek", "gaussian"], "The head was never as it is public."),
    ],
)
def test_of_noise_that_isn_t_looked_at_it_is_said_why(defences: list[str], told: str) -> None:
    config = run_config(Path("model"), privacy={"defences": defences})
    assert noise_law(Evidence(config, [], [], {})).told == told


def chances(count: int) -> Iterator[float]:
    """Of samples for which everything is as declared."""
    draw = torch.Generator().manual_seed(5)
    for _ in range(count):
        values = torch.randn(60, 8, generator=draw)
        yield float(chi_square_below(values.square().sum().reshape(1), torch.tensor([values.numel()])))
        yield kolmogorov(values.flatten())
        yield float(correlated([values[:20], values[20:50]])[1][0, 1])


def test_chances_are_uniform_or_larger() -> None:
    below = sum(chance < 0.1 for chance in chances(400))
    assert below <= 0.1 * 1200 + 4 * (1200 * 0.1 * 0.9) ** 0.5
    assert below > 0.04 * 1200, "and not all large"


def test_the_chance_of_a_poisson_number_is_the_sum_of_its_law() -> None:
    law = torch.distributions.Poisson(2.5)
    assert poisson_above(4, 2.5) == pytest.approx(1 - float(law.log_prob(torch.arange(4.0)).exp().sum()), abs=1e-6)
    assert poisson_above(0, 2.5) == 1.0
