"""The attack `enumeration` against each law of noise: adapted to it, it reads more than without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks.enumeration import attack as enumeration_attack
from splitcore.attacks.enumeration.config import Enumeration
from splitcore.attacks.enumeration.law import Law, law_of
from splitcore.attacks.enumeration.tests.test_enumeration import DEEP, FROZEN, Captured, captured, figures
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.learned_inverter.config import LearnedInverter
from splitcore.audit.capture import PARTY, plan_of
from splitcore.privacy.law import NoiseLaw
from splitcore.training.tests.conftest import run_config

__all__ = ["captured"]

Model = Callable[[str], Path]
SPLIT = {"head_layers": DEEP, "tail_layers": 1}
STRONG: dict[str, dict[str, Any]] = {
    "whole": {"name": "matrix_gaussian", "clip": 0.3, "noise": 0.03},  # a sixth of a row's norm is left
    "radial": {"name": "dchi", "clip": 0.25, "eta": 100.0},
    "importance": {"name": "importance_noise", "clip": 0.25, "noise": 0.1},
}


def blind(law: Law) -> Law:
    """Mutant: noise of the same mean variance, as if each token's vector had Gaussian noise of one size."""
    noise = law.noise
    mean = float((1 + law.extra).mean().sqrt())
    clip = float("inf") if noise.clips == "row" else noise.clip
    return replace(law, noise=NoiseLaw(clip, noise.deviation * mean))


UNEVEN = {"name": "importance_noise", "clip": 0.25, "noise": 0.03, "rarest": 30}


@pytest.mark.parametrize("defence", [STRONG["whole"], UNEVEN], ids=["whole", "importance"])
def test_knowing_the_law_reads_more(
    captured: Captured, monkeypatch: pytest.MonkeyPatch, defence: dict[str, Any]
) -> None:
    found = captured(layers=DEEP, privacy={"defences": [defence]}, lora=FROZEN)
    aware = figures(Enumeration(), found).tokens
    monkeypatch.setattr(enumeration_attack, "law_of", lambda knowledge, cached: blind(law_of(knowledge, cached=cached)))
    unaware = figures(Enumeration(), found).tokens
    assert aware.low > unaware.high


@pytest.mark.parametrize("law", STRONG)
def test_it_reads_more_than_what_is_learnt_of_each_vector_alone(captured: Captured, law: str) -> None:
    transcript, knowledge, truths = captured(layers=DEEP, privacy={"defences": [STRONG[law]]}, lora=FROZEN)
    drawn = torch.randint(len(knowledge.embedding), (64, 32), generator=torch.Generator().manual_seed(3))
    learnt = replace(knowledge, auxiliary=list(drawn))
    linear = figures(LearnedInverter(kind="linear"), (transcript, learnt, truths)).tokens
    assert figures(Enumeration(), (transcript, knowledge, truths)).tokens.low > max(0.25, linear.high)


@pytest.mark.parametrize("codec", ["fp32", "int4"])
@pytest.mark.parametrize("law", STRONG)
def test_the_law_s_variance_is_what_is_seen_of_it(model: Model, law: str, codec: str) -> None:
    """Of each token, whatever format the noise is rounded to."""
    config = run_config(
        model("llama"), split=SPLIT, privacy={"defences": [STRONG[law]]}, wire={"activations": codec}, lora=FROZEN
    )
    knowledge = Knowledge(plan_of(config), PARTY)
    found = law_of(knowledge, cached=True)
    ids_ST = torch.randint(len(knowledge.embedding), (100, 16), generator=torch.Generator().manual_seed(9))
    off = list[torch.Tensor]()
    for ids_T, hidden_TD, released_TD in zip(
        ids_ST, knowledge.undefended(list(ids_ST)), knowledge.released(list(ids_ST)), strict=True
    ):
        sent_TD = found.sent(hidden_TD)
        sent_TD = sent_TD * found.row_factor(sent_TD.norm())
        variance_T = found.variance(released_TD, torch.ones(16)) + found.deviation**2 * found.extra[ids_T]
        off.append(((released_TD - sent_TD).square().mean(1) / variance_T).mean())
    assert float(torch.stack(off).mean()) == pytest.approx(1.0, abs=0.1)


def test_the_density_of_noise_of_any_direction_falls_with_its_length() -> None:
    eta, width = 3.0, 32
    law = Law(NoiseLaw(1.0, (width + 1) ** 0.5 / eta, is_radial=True), 10)
    variance = law.variance(torch.zeros(1, width), torch.ones(1))
    near, far = (law.log_density(torch.tensor([length**2]), variance, width) for length in (8.0, 11.5))
    assert float(near - far) == pytest.approx(eta * 3.5, rel=1e-5)
