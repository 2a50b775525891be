"""The attack `adapter_upload` on recorded uploads of one of two parties, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from splitcore.attacks.adapter_upload.attack import _adapted
from splitcore.attacks.adapter_upload.config import AdapterUpload
from splitcore.attacks.adapter_upload.pursuit import Atoms, tokens_in
from splitcore.attacks.figures import Truth, figures_of
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.tests.recorded import notes
from splitcore.attacks.transcript import Transcript, Upload
from splitcore.audit.capture import PARTY, capture
from splitcore.audit.null import null_figures
from splitcore.audit.scoring import upload_truths
from splitcore.errors import AppError
from splitcore.models.tests.tiny import _COMMON, save_tokenizer
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
END = 2  # the last token of each row, which no loss depends on
NOISE = {"defences": [{"name": "gaussian", "clip": 1.0, "noise": 5.0}]}
WORDS = ("kelp", "ivory", "quiz", "jumbo", "sphinx", "fjord", "gravy", "bulk", "wax", "zyme", "crypt", "doze")
ROWS = [{"prompt": f"{word} {place}:", "completion": f" {place * 7 % 31}"} for place, word in enumerate(WORDS)]


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is wider than a batch has tokens, as models of people are."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("models") / "wide"
    wider: dict[str, Any] = {**_COMMON, "hidden_size": 96, "intermediate_size": 64, "num_hidden_layers": 3}
    AutoModelForCausalLM.from_config(LlamaConfig(**wider)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@dataclass
class Uploaded:
    transcript: Transcript
    knowledge: Knowledge
    truths: list[Truth]

    def guesses(self, uploads: Sequence[Upload] | None = None) -> list[torch.Tensor]:
        given = self.transcript if uploads is None else replace(self.transcript, uploads=uploads)
        return AdapterUpload().build().guess(given, self.knowledge)


def uploaded(model: Path, folder: Path, **changes: Any) -> Uploaded:
    """What one of two organisations uploads."""
    sections = {"split": {"head_layers": 1, "tail_layers": 1}, "training": {"batch_size": 2}, "lora": {"rank": 4}}
    config = run_config(model, **{**sections, **changes})
    taken = capture(config, ROWS, folder, epochs=1, others=notes(range(12)))
    transcript = TranscriptReader(taken.plan, PARTY).read(taken.recording)
    return Uploaded(transcript, Knowledge(taken.plan, PARTY), upload_truths(taken, transcript, special={END}))


@pytest.fixture(scope="module")
def plain(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Uploaded:
    """Behind noise on hidden states under which nothing is read of them."""
    return uploaded(wide, tmp_path_factory.mktemp("plain"), privacy=NOISE)


def test_it_tells_the_tokens_of_small_batches_whatever_protects_hidden_states(plain: Uploaded) -> None:
    figures = figures_of(plain.guesses(), plain.truths)
    assert (len(plain.transcript.uploads), figures.records) == (6, 5), "before the first update B is zero"
    assert figures.tokens.value >= 0.99


def test_of_other_uploads_it_reads_what_the_batches_share(plain: Uploaded) -> None:
    read, alike = (
        null_figures(guesses, plain.truths, common=(), seed=0)
        for guesses in (plain.guesses(), [truth.ids_N for truth in plain.truths])
    )
    assert read is not None
    assert alike is not None
    assert read.tokens.value <= alike.tokens.value + 0.02
    assert read.tokens.high < 0.9


def test_a_masked_upload_tells_nothing(plain: Uploaded) -> None:
    """Uniform in the integers modulo 2^64, as a masked sum's parts are."""
    draw = torch.Generator().manual_seed(4)

    def masked(value: torch.Tensor) -> torch.Tensor:
        words = torch.randint(-(2**63), 2**63 - 1, value.shape, generator=draw)
        return words.double().mul(2.0**-40).float()

    uploads = [
        replace(upload, tensors={name: masked(value) for name, value in upload.tensors.items()})
        for upload in plain.transcript.uploads
    ]
    guesses = plain.guesses(uploads)
    null = null_figures(guesses, plain.truths, common=(), seed=0)
    assert null is not None
    assert null.tokens.low <= figures_of(guesses, plain.truths).tokens.value <= null.tokens.high


def test_vectors_of_fewer_directions_than_atoms_are_parted_too() -> None:
    draw = torch.Generator().manual_seed(1)
    atoms = Atoms(torch.randn(400, 64, generator=draw))
    own = torch.randperm(400, generator=draw)[:24].tolist()
    rows_RD = torch.randn(8, 24, generator=draw) @ atoms.vectors_VD[own]
    assert sorted(tokens_in(rows_RD, atoms)) == sorted(own)


def test_a_model_whose_inputs_depend_on_the_place_is_refused(model: Model, tmp_path: Path) -> None:
    """Its first layer is found, whatever its type calls the layers."""
    found = uploaded(model("gpt2"), tmp_path)
    assert _adapted(found.transcript.uploads)
    with pytest.raises(AppError, match="CL-1562"):
        found.guesses()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schedule": {"name": "personalised"}}, "no gradients of adapters"),
        ({"lora": {"train_head": False}}, "no adapter"),
        ({"privacy": {"sums": "masked"}}, "Uploads are masked"),
        ({}, ""),
    ],
)
def test_it_fits_runs_that_sum_gradients_of_the_first_layers(changes: dict[str, Any], why: str) -> None:
    refused = AdapterUpload().refuses(run_config(Path("model"), **changes))
    assert why in refused
    assert bool(why) == bool(refused)


def test_the_registry_names_it() -> None:
    assert AdapterUpload in ATTACKS
