"""The attack `completion` on recorded frames of real trainings, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks.completion.config import Completion
from splitcore.attacks.figures import Truth, figures_of
from splitcore.attacks.interface import UNKNOWN, Knowledge
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import PARTY, Capture, capture, plan_of
from splitcore.audit.scoring import truths_of
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
WORDS = ["kelp", "ivory", "quiz", "jumbo", "sphinx", "fjord", "gravy", "bulk"]
NOTES = [{"prompt": f"Note {place}:", "completion": f" {word}"} for place, word in enumerate(WORDS)]
LEARNING = {"split": {"tail_layers": 0}, "training": {"learning_rate": 2e-2, "batch_size": 8}, "lora": {"rank": 8}}
EPOCHS = 40
LAST = 4  # steps at the end


class Found:
    """A recorded training, what the attack guesses of each crossing, and what was there."""

    def __init__(self, folder: Path, model: Path, *, epochs: int = 1, **changes: Any) -> None:
        self.taken: Capture = capture(run_config(model, **changes), NOTES, folder, epochs=epochs)
        self.knowledge = Knowledge(plan_of(self.taken.config), PARTY)
        self.transcript: Transcript = TranscriptReader(self.knowledge.plan, PARTY).read(self.taken.recording)
        self.guesses = Completion().build().guess(self.transcript, self.knowledge)
        self.truths = truths_of(self.taken, self.transcript, Completion.channel)

    def late(self) -> tuple[list[torch.Tensor], list[Truth]]:
        """Guesses and truths of the last steps."""
        crossings = self.transcript.crossings
        places = [at for at, crossing in enumerate(crossings) if crossing.step >= self.transcript.steps - LAST]
        return [self.guesses[at] for at in places], [self.truths[at] for at in places]


@pytest.fixture(scope="module")
def learnt(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A training long enough that the body knows the rows by heart."""
    return Found(tmp_path_factory.mktemp("learnt"), model("llama"), epochs=EPOCHS, **LEARNING)


def share(guesses: Sequence[torch.Tensor], truths: Sequence[Truth]) -> float:
    return figures_of(guesses, truths).tokens.value


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("layers", [0, 2])
def test_before_training_it_says_what_the_public_model_says_after_the_true_prefix(
    model: Model, tmp_path: Path, family: str, layers: int
) -> None:
    found = Found(tmp_path, model(family), split={"tail_layers": layers}, training={"batch_size": len(NOTES)})
    with torch.no_grad():
        for guess_N, truth in zip(found.guesses, found.truths, strict=True):
            logits_NV = found.knowledge.model(truth.ids_N.unsqueeze(0)).logits[0]
            assert int(guess_N[0]) == UNKNOWN
            assert guess_N[1:].tolist() == logits_NV.argmax(1)[:-1].tolist()


def test_a_body_that_has_learnt_the_rows_gives_them_away(learnt: Found) -> None:
    """0.84 was measured, and 0.0 in the first step."""
    assert share(learnt.guesses[: len(NOTES)], learnt.truths[: len(NOTES)]) < 0.2
    assert share(*learnt.late()) > 0.5


def test_of_other_records_it_reads_little_more_than_what_all_records_share(learnt: Found) -> None:
    guesses, truths = learnt.late()
    pairs = [(one, two) for one in range(len(truths)) for two in range(len(truths))
             if truths[one].record != truths[two].record]  # fmt: skip
    null = share([guesses[one] for one, _ in pairs], [truths[two] for _, two in pairs])
    alike = share([truths[one].ids_N for one, _ in pairs], [truths[two] for _, two in pairs])
    assert null <= alike + 0.05
    assert null < share(guesses, truths) - 0.2


def test_a_run_whose_body_has_the_last_layers_is_refused() -> None:
    assert Completion().refuses(run_config(Path("model"), split={"topology": "vanilla"}))
    assert Completion().refuses(run_config(Path("model"))) == ""


def test_the_registry_names_it() -> None:
    assert Completion in ATTACKS
