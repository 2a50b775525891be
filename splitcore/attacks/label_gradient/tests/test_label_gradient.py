"""The attack `label_gradient` on recorded frames of real trainings, with its controls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks.figures import Truth, figures_of
from splitcore.attacks.interface import UNKNOWN, Knowledge
from splitcore.attacks.label_gradient.config import LabelGradient
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import PARTY, Capture, capture, plan_of
from splitcore.audit.scoring import truths_of
from splitcore.run.plan import RunPlan
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
Found = tuple[list[torch.Tensor], list[Truth], Transcript]
NOTES = [{"prompt": f"Note {i}: seen on day {i * 7 % 31}.", "completion": f" ward {i * 5 % 17}"} for i in range(24)]
BARE = {"split": {"tail_layers": 0}}
DRIFTING = {"epochs": 3, "training": {"learning_rate": 2e-2}, "lora": {"rank": 8}, "wire": {"gradients": "int8"}}


@pytest.fixture(scope="module")
def attacked(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Found]:
    """A recorded training, what the attack guesses of each crossing, what was there, and what crossed."""
    recorded: dict[str, tuple[Capture, RunPlan, Transcript]] = {}

    def run(family: str = "llama", *, epochs: int = 1, follows: bool = True, **changes: Any) -> Found:
        key = repr((family, epochs, changes))
        if key not in recorded:
            folder = tmp_path_factory.mktemp("recorded")
            taken = capture(run_config(model(family), **changes), NOTES, folder, epochs=epochs)
            plan = plan_of(taken.config)
            recorded[key] = taken, plan, TranscriptReader(plan, PARTY).read(taken.recording)
        taken, plan, transcript = recorded[key]
        guesses = LabelGradient(follows=follows).build().guess(transcript, Knowledge(plan, PARTY))
        return guesses, truths_of(taken, transcript, LabelGradient.channel), transcript

    return run


def share(guesses: list[torch.Tensor], truths: list[Truth]) -> float:
    return figures_of(guesses, truths).tokens.value


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("layers", [0, 2])
def test_without_a_defence_it_reads_every_token_that_the_training_predicts(
    attacked: Callable[..., Found], family: str, layers: int
) -> None:
    guesses, truths, _ = attacked(family, split={"tail_layers": layers})
    figures = figures_of(guesses, truths)
    assert (figures.records, figures.counted) == (len(NOTES), sum(int(truth.scored_N.sum()) for truth in truths))
    assert figures.tokens.value >= 0.99


@pytest.mark.parametrize("gradients", ["bf16", "int8", "int4"])
def test_a_codec_of_the_gradients_hides_nothing(attacked: Callable[..., Found], gradients: str) -> None:
    guesses, truths, _ = attacked(**BARE, wire={"gradients": gradients})
    assert share(guesses, truths) >= 0.95  # 1.0 was measured for each


def test_where_the_loss_does_not_count_a_bare_head_has_no_gradient_and_the_attack_no_guess(
    attacked: Callable[..., Found],
) -> None:
    guesses, truths, _ = attacked(**BARE)
    for guess_N, truth in zip(guesses, truths, strict=True):
        assert (guess_N == UNKNOWN).tolist() == (~truth.scored_N).tolist()


def test_of_other_records_it_reads_no_more_than_what_all_records_share(attacked: Callable[..., Found]) -> None:
    guesses, truths, _ = attacked(**BARE)
    places = range(len(truths))
    pairs = [(one, two) for one in places for two in places
             if one != two and truths[one].scored_N.equal(truths[two].scored_N)]  # fmt: skip
    assert pairs
    null = share([guesses[one] for one, _ in pairs], [truths[two] for _, two in pairs])
    alike = share([truths[one].ids_N for one, _ in pairs], [truths[two] for _, two in pairs])
    assert null == pytest.approx(alike, abs=1e-9)
    assert null < 0.95


def test_adapters_that_the_tail_has_learnt_hide_nothing_from_an_observer_who_trains_them_too(
    attacked: Callable[..., Found],
) -> None:
    """1.0 was measured with following, and 0.52 without it."""
    followed, truths, transcript = attacked(**DRIFTING)
    unmoved, _, _ = attacked(**DRIFTING, follows=False)
    late = [place for place, crossing in enumerate(transcript.crossings) if crossing.step >= transcript.steps // 2]
    there = [truths[place] for place in late]
    assert share([unmoved[place] for place in late], there) < 0.75
    assert share([followed[place] for place in late], there) >= 0.95


def test_a_run_whose_server_is_sent_the_labels_is_refused() -> None:
    assert LabelGradient().refuses(run_config(Path("model"), split={"topology": "vanilla"}))
    assert LabelGradient().refuses(run_config(Path("model"))) == ""


def test_the_registry_names_it() -> None:
    assert LabelGradient in ATTACKS
