"""The attack `nearest_embedding` on captured frames of real runs, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from splitcore.attacks.figures import Figures, token_accuracy
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.attacks.registry import ATTACKS
from splitcore.attacks.transcript import Released, released_rows
from splitcore.codecs.payload import Payload
from splitcore.data.tokenise import encode_rows
from splitcore.models.loading import read_tokenizer
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Message
from splitcore.wire.protocol.session import Session

Model = Callable[[str], Path]
HELD_OUT = [{"prompt": f"Note {i}: seen on day {i * 7 % 31}.", "completion": f" ward {i * 5 % 17}"} for i in range(24)]
GAUSSIAN = {"defences": [{"name": "gaussian", "clip": 1.0, "noise": 1.0}]}


@pytest.fixture
def capture(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Released]]:
    """A run whose frames are kept as they were sent: what went up of the held-out rows, before the first step."""

    def run(**changes: Any) -> list[Released]:
        sent: list[Message] = []
        send = Session.send

        def keep(session: Session, message: Message, **how: Any) -> int:
            tensors = {
                name: Payload(one.codec, one.shape, tuple(bytes(buffer) for buffer in one.buffers))
                for name, one in message.tensors.items()
            }
            sent.append(replace(message, tensors=tensors))
            return send(session, message, **how)

        with monkeypatch.context() as patched:
            patched.setattr(Session, "send", keep)
            config = run_config(model("llama"), training={"steps": 1, "eval_every": 0}, **changes)
            splitcore.fine_tune(config, {"a": rows(4)}, out=tmp_path / str(len(list(tmp_path.iterdir()))),
                                eval_rows={"a": HELD_OUT})  # fmt: skip
        return [row for row in released_rows(sent) if row.evaluation and row.step == 0]

    return run


@pytest.fixture
def truth(model: Model) -> list[torch.Tensor]:
    config = run_config(model("llama"))
    encoded = encode_rows(HELD_OUT, read_tokenizer(model("llama")), config.data, config.training.max_length)
    return [torch.tensor(row.ids) for row in encoded]


def read(released: Sequence[Released], truth: Sequence[torch.Tensor], model: Path, **fields: Any) -> Figures:
    """What the attack reads, given the public base alone."""
    from transformers import AutoModelForCausalLM

    embedding = AutoModelForCausalLM.from_pretrained(model).get_input_embeddings().weight.detach()
    return token_accuracy(NearestEmbedding(**fields).build().guess(released, Knowledge(embedding)), truth)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_without_a_head_or_a_defence_it_reads_every_token(
    capture: Callable[..., list[Released]], truth: list[torch.Tensor], model: Model, distance: str
) -> None:
    figures = read(capture(split={"head_layers": 0}), truth, model("llama"), distance=distance)
    assert (figures.records, figures.tokens) == (len(HELD_OUT), sum(map(len, truth)))
    assert figures.accuracy >= 0.99


def test_of_other_records_it_reads_no_more_than_what_all_records_share(
    capture: Callable[..., list[Released]], truth: list[torch.Tensor], model: Model
) -> None:
    released = capture(split={"head_layers": 0})
    shared = [one if len(one) == len(other) else None for one, other in zip(truth, truth[1:] + truth[:1], strict=True)]
    pairs = [
        (row, other)
        for row, other, same in zip(released, truth[1:] + truth[:1], shared, strict=True)
        if same is not None
    ]
    null = read([row for row, _ in pairs], [other for _, other in pairs], model("llama"))
    alike = token_accuracy([one for one in shared if one is not None], [other for _, other in pairs])
    assert null.accuracy == pytest.approx(alike.accuracy, abs=1e-9)
    assert null.high < 0.99


def test_noise_of_the_size_of_the_vectors_leaves_it_little(
    capture: Callable[..., list[Released]], truth: list[torch.Tensor], model: Model
) -> None:
    bare = read(capture(split={"head_layers": 0}), truth, model("llama"))
    noisy = read(capture(split={"head_layers": 0}, privacy=GAUSSIAN), truth, model("llama"))
    assert noisy.high < 0.5 < bare.low


def test_the_interval_is_of_records_and_padding_does_not_count() -> None:
    truth = [torch.tensor([5, 6, 0]), torch.tensor([7, 8, 0])]
    figures = token_accuracy([torch.tensor([5, 6, 0]), torch.tensor([1, 1, 0])], truth, ignored={0})
    assert (figures.accuracy, figures.records, figures.tokens) == (0.5, 2, 4)
    assert (figures.low, figures.high) == (0.0, 1.0)


def test_the_registry_names_it() -> None:
    assert NearestEmbedding in ATTACKS
