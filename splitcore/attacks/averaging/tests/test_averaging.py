"""The attack `averaging` on recorded frames of trainings with noise that is drawn again, and that isn't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks.averaging.config import Averaging
from splitcore.attacks.averaging.visits import rows_of
from splitcore.attacks.figures import figures_of
from splitcore.attacks.learned_inverter.config import LearnedInverter
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.tests.recorded import OWN, Recorded, null, recorded, token_ids
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
EPOCHS, DEVIATION = 6, 0.35
SHALLOW = {"split": {"head_layers": 1, "tail_layers": 1}, "lora": {"train_head": False}}
NOISE = {"defences": [{"name": "gaussian", "clip": 1.0, "noise": DEVIATION}]}


@pytest.fixture(scope="module")
def once(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """One release of each row, as the defence declares it."""
    return recorded(model("llama"), tmp_path_factory.mktemp("once"), epochs=EPOCHS, privacy=NOISE, **SHALLOW)


@pytest.fixture(scope="module")
def again(once: Recorded) -> Recorded:
    """The same, had each epoch drawn noise of its own."""
    draw = torch.Generator().manual_seed(6)
    crossings = once.transcript.crossings
    first = {truth.record: place for place, truth in reversed(list(enumerate(once.truths)))}
    clean = dict(
        zip(first, once.knowledge().undefended([once.truths[place].ids_N for place in first.values()]), strict=True)
    )
    sent = []
    for crossing, truth in zip(crossings, once.truths, strict=True):
        bare_ND = clean[truth.record]
        bare_ND = bare_ND * (1.0 / bare_ND.norm(dim=1, keepdim=True)).clamp_max(1.0)
        noise_ND = DEVIATION * torch.randn(bare_ND.shape, generator=draw)
        sent.append(replace(crossing, hidden_ND=bare_ND + noise_ND))
    return replace(once, transcript=replace(once.transcript, crossings=sent))


def share(taken: Recorded, guesses: Sequence[torch.Tensor]) -> float:
    return figures_of(guesses, taken.truths).tokens.value


def guesses(taken: Recorded, attack: Any) -> list[torch.Tensor]:
    return attack.build().guess(
        taken.transcript, taken.knowledge(auxiliary=token_ids(taken.knowledge().plan, OWN), seed=1)
    )


def test_it_finds_which_crossings_are_of_one_row_without_being_told(again: Recorded) -> None:
    found = rows_of(again.transcript, again.knowledge().plan)
    pairs = set(zip(found, (truth.record for truth in again.truths), strict=True))
    assert len(pairs) == len({row for row, _ in pairs}) == len({record for _, record in pairs}) == 24


def test_rows_that_cross_once_stay_apart(model: Model, tmp_path: Path) -> None:
    taken = recorded(model("llama"), tmp_path, **SHALLOW)
    found = rows_of(taken.transcript, taken.knowledge().plan)
    assert len(set(found)) == len(found)


def test_noise_that_is_drawn_again_averages_out(again: Recorded) -> None:
    alone = share(again, guesses(again, LearnedInverter(kind="linear")))
    assert share(again, guesses(again, Averaging())) > alone + 0.1


def test_one_release_per_row_leaves_nothing_to_average(once: Recorded) -> None:
    alone = guesses(once, LearnedInverter(kind="linear"))
    assert all(map(torch.equal, guesses(once, Averaging()), alone))


def test_of_other_records_it_reads_no_more_than_what_all_records_share(again: Recorded) -> None:
    read, alike = null(guesses(again, Averaging()), again.truths)
    assert read.tokens.value <= alike.tokens.value


def test_without_noise_there_is_nothing_to_average() -> None:
    silent = {"defences": [{"name": "nopeek"}]}
    for changes in ({}, {"privacy": silent}):
        assert "nothing averages out" in Averaging().refuses(run_config(Path("model"), **changes))
    assert Averaging().refuses(run_config(Path("model"), privacy=NOISE)) == ""


def test_the_registry_names_it() -> None:
    assert Averaging in ATTACKS
