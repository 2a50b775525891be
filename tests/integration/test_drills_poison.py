"""Promise 16 in whole runs: a poisoned tensor ends the run, and the weights are those of the step before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from demo.launch.groups import BASE_MODEL
from splitcore.codecs.tensors import decode, encode
from splitcore.errors import AppError
from splitcore.launch import threads
from splitcore.training.server import ServerHalf
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import Kind, Message
from splitcore.wire.protocol.session import Session

pytestmark = pytest.mark.integration
GOOD_STEPS = 2
ROWS = [{"prompt": f"Number {number}:", "completion": f" {number * 7}"} for number in range(8)]


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> list[ServerHalf]:
    """Every server half that a run of this test has made."""
    made: list[ServerHalf] = []

    class Kept(ServerHalf):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(threads, "ServerHalf", Kept)
    return made


def train(out: Path, steps: int) -> None:
    """A short run in memory; its learning rate does not depend on its length."""
    config = {
        "model": {"name_or_path": str(BASE_MODEL)},
        "split": {"topology": "u_shape", "head_layers": 1, "tail_layers": 2},
        "training": {
            "steps": steps,
            "batch_size": 2,
            "max_length": 48,
            "eval_every": 0,
            "schedule": "constant",
            "warmup": 0,
        },
    }
    splitcore.fine_tune(splitcore.RunConfig.parse(config), {"a": ROWS}, out=out)


def weights(half: ServerHalf) -> dict[str, torch.Tensor]:
    """The body's adapter as the half holds it now."""
    return {name: value.detach().clone() for name, value in half._parameters.items()}


@pytest.mark.promise(16, figure="weights unchanged")
@pytest.mark.parametrize(
    ("kind", "value"), [(Kind.ACTIVATIONS, float("nan")), (Kind.GRADIENTS, 1e38), (Kind.NORMS, float("-inf"))]
)
def test_a_poisoned_message_never_reaches_the_weights(
    kind: Kind, value: float, halves: list[ServerHalf], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "clean", GOOD_STEPS)
    memory_pair = threads.memory_pair

    def poisoned(client: FrameLimits, server: FrameLimits, **options: Any) -> tuple[Session, Session]:
        near, far = memory_pair(client, server, **options)
        send = near.send

        def spoil(message: Message, **options: Any) -> None:
            if message.kind is kind and message.step == GOOD_STEPS:
                name = "hidden" if "hidden" in message.tensors else next(iter(message.tensors))
                tensor = decode(message.tensors[name]).clone()
                tensor.view(-1)[-1] = value
                message = replace(
                    message, tensors={**message.tensors, name: encode(tensor, message.tensors[name].codec)}
                )
            send(message, **options)

        monkeypatch.setattr(near, "send", spoil)
        return near, far

    monkeypatch.setattr(threads, "memory_pair", poisoned)
    with pytest.raises(AppError) as caught:
        train(tmp_path / "poisoned", GOOD_STEPS + 2)
    assert caught.value.code == "CL-1311"
    clean, spoiled = (weights(half) for half in halves)
    assert clean.keys() == spoiled.keys()
    assert all(clean[name].any() for name in clean), "the good steps have moved every tensor"
    assert all(torch.equal(clean[name], spoiled[name]) for name in clean)
    assert not (tmp_path / "poisoned" / "adapter").exists()
