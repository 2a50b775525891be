"""The attack `enumeration` on recorded frames of real trainings, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks.choice import AttackChoice
from splitcore.attacks.enumeration.config import Enumeration
from splitcore.attacks.figures import Figures, Truth, figures_of
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import PARTY, capture, plan_of
from splitcore.audit.scoring import truths_of
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
Found = tuple[Transcript, Knowledge, list[Truth]]
Captured = Callable[..., Found]
FROZEN = {"train_head": False}
DEEP = 3  # layers after which the nearest embedding and a linear inverter begin to fail
NOTES = [{"prompt": f"Note {i}: seen on day {i * 7 % 31}.", "completion": f" ward {i * 5 % 17}"} for i in range(24)]


def noise(deviation: float) -> dict[str, Any]:
    return {"defences": [{"name": "gaussian", "clip": 0.25, "noise": deviation}]}


@pytest.fixture
def captured(model: Model, tmp_path: Path) -> Captured:
    """What crossed in a recorded training, what the observer knows, and what was there."""

    def run(family: str = "llama", layers: int = 1, rows: int = len(NOTES), epochs: int = 1, **changes: Any) -> Found:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        config = run_config(model(family), split={"head_layers": layers, "tail_layers": 1}, **changes)
        taken = capture(config, NOTES[:rows], folder, epochs=epochs)
        plan = plan_of(taken.config)
        transcript = TranscriptReader(plan, PARTY).read(taken.recording)
        return transcript, Knowledge(plan, PARTY), truths_of(taken, transcript, Enumeration.channel)

    return run


def figures(attack: AttackChoice, found: Found) -> Figures:
    transcript, knowledge, truths = found
    return figures_of(attack.build().guess(transcript, knowledge), truths)


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_without_a_defence_it_reads_every_token_at_any_depth(captured: Captured, family: str, layers: int) -> None:
    found = captured(family, layers, rows=12)
    read = figures(Enumeration(), found)
    assert (read.records, read.counted) == (12, sum(len(truth.ids_N) for truth in found[2]))
    assert read.tokens.value >= 0.99


def test_four_bits_per_value_hide_nothing(captured: Captured) -> None:
    assert figures(Enumeration(), captured(layers=2, wire={"activations": "int4"})).tokens.value >= 0.98


def test_a_head_that_was_trained_is_read_by_the_public_weights(captured: Captured) -> None:
    training = {"learning_rate": 1e-3}
    transcript, knowledge, truths = captured(epochs=8, rows=16, lora={"train_head": True}, training=training)
    late = [place for place, one in enumerate(transcript.crossings) if one.step >= 30]
    found = Transcript(PARTY, [transcript.crossings[place] for place in late]), knowledge, [truths[p] for p in late]
    public_ND, trained_ND = knowledge.released([found[2][0].ids_N])[0], found[0].crossings[0].hidden_ND
    assert float((public_ND - trained_ND).norm() / public_ND.norm()) > 0.05  # it isn't the public head any more
    assert figures(Enumeration(), found).tokens.value >= 0.99


def test_under_noise_it_reads_what_weaker_attacks_do_not(captured: Captured) -> None:
    found = captured(layers=DEEP, privacy=noise(0.16), lora=FROZEN)
    ridge = figures_of(_ridge(found[0], found[1]), found[2])
    assert max(figures(NearestEmbedding(), found).tokens.value, ridge.tokens.high) < 0.5
    assert figures(Enumeration(), found).tokens.low > 0.6


def test_of_other_records_it_reads_no_more_than_what_all_records_share(captured: Captured) -> None:
    transcript, knowledge, truths = captured()
    guesses = Enumeration().build().guess(transcript, knowledge)
    places = range(len(truths))
    pairs = [(one, two) for one in places for two in places
             if one != two and len(truths[one].ids_N) == len(truths[two].ids_N)]  # fmt: skip
    assert pairs
    null = figures_of([guesses[one] for one, _ in pairs], [truths[two] for _, two in pairs])
    alike = figures_of([truths[one].ids_N for one, _ in pairs], [truths[two] for _, two in pairs])
    assert null.tokens.value == pytest.approx(alike.tokens.value, abs=1e-9)
    assert null.tokens.high < 0.99


def test_few_candidates_lose_little_and_one_is_the_filter_alone(captured: Captured) -> None:
    found = captured(layers=DEEP, privacy=noise(0.12), lora=FROZEN)
    whole, few, one = (figures(Enumeration(candidates=count), found).tokens for count in (2000, 32, 1))
    assert whole.value - few.value < 0.02
    assert one.high < few.low


def test_the_registry_names_it() -> None:
    assert Enumeration in ATTACKS


def _ridge(transcript: Transcript, knowledge: Knowledge) -> Sequence[torch.Tensor]:
    """A linear inverter from what a party would release of random tokens to their embeddings."""
    rows = list(torch.randint(len(knowledge.embedding), (64, 32), generator=torch.Generator().manual_seed(3)))
    seen_ND, target_ND = torch.cat(knowledge.released(rows)), knowledge.embedding[torch.cat(rows)]
    gram_DD = seen_ND.t() @ seen_ND + 1e-3 * torch.eye(knowledge.width)
    map_DD = torch.linalg.solve(gram_DD, seen_ND.t() @ target_ND)
    return [torch.cdist(one.hidden_ND @ map_DD, knowledge.embedding).argmin(1) for one in transcript.crossings]
