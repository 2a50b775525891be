"""The parts of the attack `enumeration`: prefixes with and without a cache, the law of noise, the mean of releases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks.enumeration.config import Enumeration
from splitcore.attacks.enumeration.law import law_of
from splitcore.attacks.enumeration.prefixes import Prefixes, goes_on_from_a_cache
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.transcript import Crossing, Transcript
from splitcore.audit.capture import PARTY, plan_of
from splitcore.models.tests.tiny import FAMILIES
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
SPLIT = {"head_layers": 1, "tail_layers": 2}


def known(folder: Path, **changes: Any) -> Knowledge:
    return Knowledge(plan_of(run_config(folder, **{"split": SPLIT, **changes})), PARTY)


def random_rows(count: int, length: int, vocabulary: int) -> list[torch.Tensor]:
    return list(torch.randint(vocabulary, (count, length), generator=torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("family", sorted(FAMILIES))
@torch.no_grad()
def test_going_on_from_prefixes_is_the_same_as_computing_the_row_whole(model: Model, family: str) -> None:
    head = known(model(family)).head
    ids_ST = torch.stack(random_rows(3, 14, 264))
    whole_STD = head(torch.ones_like(ids_ST), ids_BL=ids_ST)
    for cached in {False, goes_on_from_a_cache(head, 264)}:
        prefixes, order_S = Prefixes.empty(head, 3, cached=cached), torch.tensor([2, 0, 1])
        for place, tokens_S in enumerate(ids_ST.t()):
            found_SD = prefixes.states(order_S, tokens_S[order_S])
            assert torch.allclose(found_SD, whole_STD[order_S, place], atol=1e-4)
            prefixes = prefixes.extended(torch.arange(3), tokens_S)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "mistral"])
def test_usual_heads_go_on_from_a_cache_and_bare_embeddings_do_not(model: Model, family: str) -> None:
    assert goes_on_from_a_cache(known(model(family)).head, 264)
    assert not goes_on_from_a_cache(known(model(family), split={**SPLIT, "head_layers": 0}).head, 264)


def test_the_law_is_the_defence_and_the_rounding_that_is_measured(model: Model) -> None:
    exact = law_of(known(model("llama")), cached=True)
    assert (exact.clip, exact.deviation) == (float("inf"), 0.0)
    int8, int4 = (law_of(known(model("llama"), wire={"activations": codec}), cached=True) for codec in ("int8", "int4"))
    assert exact.relative < 1e-9 < int8.relative < 1e-3 < int4.relative < 0.05
    noisy = {"defences": [{"name": "gaussian", "clip": 2.0, "noise": 0.5}]}
    law = law_of(known(model("llama"), privacy=noisy), cached=True)
    assert (law.clip, law.deviation) == (2.0, 1.0)
    assert law.relative < 0.1
    assert float(law.sent(torch.full((1, 16), 9.0)).norm()) == pytest.approx(2.0, rel=1e-5)


def test_independent_releases_of_a_row_are_averaged_and_copies_count_once(model: Model) -> None:
    noisy = {"defences": [{"name": "gaussian", "clip": 0.25, "noise": 0.25}]}
    deep = {"head_layers": 3, "tail_layers": 1}
    knowledge = known(model("llama"), privacy=noisy, split=deep, lora={"train_head": False})
    rows = random_rows(12, 16, 264)
    releases = [knowledge.released(rows, draw=epoch) for epoch in range(4)]

    def share(epochs: list[list[torch.Tensor]], *, told: bool) -> float:
        crossings = [
            Crossing(epoch, 0, place, False, hidden_ND, row=place if told else None)
            for epoch, hidden in enumerate(epochs)
            for place, hidden_ND in enumerate(hidden)
        ]
        guesses = Enumeration().build().guess(Transcript(PARTY, crossings), knowledge)
        return sum(float((guess == row).float().mean()) for guess, row in zip(guesses, rows, strict=False)) / len(rows)

    once = share(releases[:1], told=True)
    assert share(releases, told=True) > once + 0.15
    assert share(releases, told=False) == pytest.approx(once)
    assert share([releases[0]] * 4, told=True) == pytest.approx(once)
