"""The method `auxiliary_loss`: its gradient, what is trained, kept and released."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy, rms_norm

import splitcore
from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At
from splitcore.control.events import SERVER, CheckpointChanged, Event
from splitcore.errors import AppError
from splitcore.methods.auxiliary_loss.config import AuxiliaryLoss
from splitcore.models.carve import hidden_width
from splitcore.models.tests.tiny import rows
from splitcore.run.plan import run_plan
from splitcore.run.settings import HalfSettings
from splitcore.step.own_parameters import OwnParameters
from splitcore.training.halves import load_with_adapter
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
AUXILIARY = [{"name": "auxiliary_loss", "weight": 0.5, "rank": 4}]
LABELS_BL = torch.tensor([[-100, 5, 6, 7]])


@pytest.fixture
def place(model: Model, tmp_path: Path) -> Place:
    config = run_config(model("llama")).model_copy(update={"methods": [AuxiliaryLoss(weight=0.5, rank=4)]})
    plan = run_plan(HalfSettings(config, ["a"], model("llama"), tmp_path))
    head = load_with_adapter(plan, "head", plan.layout(config.lora), config.lora)
    return Place(config, "a", head, hidden_width(plan.model_config), tmp_path)


def test_the_loss_is_the_cross_entropy_of_the_embedding_s_scores(place: Place) -> None:
    stage = place.config.methods[0].build(place)
    embedding_VD = place.head.model.get_input_embeddings().weight.detach()  # type: ignore[union-attr]
    hidden_BLD = torch.randn(1, 4, embedding_VD.shape[1], requires_grad=True)
    loss = stage.loss(hidden_BLD, LABELS_BL, At(0, 0, torch.ones(1, 4)))
    assert loss is not None
    logits_LV = rms_norm(hidden_BLD[0, :-1], hidden_BLD.shape[-1:]) @ embedding_VD.t()  # U is zero at the start
    assert torch.allclose(loss, 0.5 * cross_entropy(logits_LV, LABELS_BL[0, 1:], reduction="sum"), rtol=1e-6)
    loss.backward()
    assert hidden_BLD.grad is not None
    assert all(parameter.grad is not None for parameter in stage.parameters().values())


def test_its_parameters_learn_alone_what_their_optimiser_says_and_come_back_from_a_state(place: Place) -> None:
    stages = [place.config.methods[0].build(place) for _ in range(2)]
    own = [OwnParameters([stage], place.config.training, 20) for stage in stages]
    width = stages[0].parameters()["up"].shape[0]

    def learn(which: int, step: int) -> float:
        hidden_BLD = torch.randn(1, 4, width, generator=torch.Generator().manual_seed(step))
        loss = stages[which].loss(hidden_BLD, LABELS_BL, At(step, 0, torch.ones(1, 4)))
        assert loss is not None
        loss.backward()
        own[which].apply(step)
        return loss.item()

    learn(0, 0)
    own[1].restore(own[0].state())
    assert learn(0, 1) == learn(1, 1)
    assert learn(0, 2) == learn(1, 2)
    first = learn(0, 3)
    for step in range(4, 18):
        last = learn(0, 3)
        own[0].skip(step)
    assert last < first


def test_a_run_trains_otherwise_with_it_and_releases_nothing_of_it(model: Model, tmp_path: Path) -> None:
    data = {"a": rows(10)}
    training = {"steps": 4, "eval_every": 0, "checkpoint_every": 1}
    plain = run_config(model("llama"), training=training)
    config = splitcore.RunConfig.parse({**plain.model_dump(mode="json"), "methods": AUXILIARY})
    splitcore.fine_tune(plain, data, out=tmp_path / "plain")
    splitcore.fine_tune(config, data, out=tmp_path / "whole")
    assert difference(tmp_path / "plain" / "adapter", tmp_path / "whole" / "adapter") > 0.0
    plain_names, names = (
        load_file(tmp_path / out / "adapter" / "adapter_model.safetensors").keys() for out in ("plain", "whole")
    )
    assert names == plain_names

    class InterruptionError(Exception):
        """The listener's end."""

    def interrupt(event: Event) -> None:
        if isinstance(event, CheckpointChanged) and (event.party, event.step, event.action) == (SERVER, 2, "saved"):
            raise InterruptionError

    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, data, out=tmp_path / "broken", on_event=interrupt)
    splitcore.fine_tune(config, data, out=tmp_path / "broken", resume=True)
    assert difference(tmp_path / "whole" / "adapter", tmp_path / "broken" / "adapter") == 0.0


def test_it_trains_its_head_where_the_split_s_own_is_frozen(model: Model, tmp_path: Path) -> None:
    kept: list[torch.Tensor] = []

    def keep(event: Event) -> None:
        if isinstance(event, CheckpointChanged) and event.action == "saved" and event.party == "a":
            for file in (tmp_path / "with").rglob("schedule.safetensors"):
                kept.extend(value for name, value in load_file(file).items() if name == "own.0.up")

    training = {"steps": 2, "eval_every": 0, "checkpoint_every": 1}
    frozen = run_config(model("llama"), training=training, lora={"train_head": False})
    config = splitcore.RunConfig.parse({**frozen.model_dump(mode="json"), "methods": AUXILIARY})
    splitcore.fine_tune(frozen, {"a": rows(10)}, out=tmp_path / "frozen")
    splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path / "with", on_event=keep)
    assert difference(tmp_path / "frozen" / "adapter", tmp_path / "with" / "adapter") == 0.0
    assert kept
    assert all(bool(ups.any()) for ups in kept)  # U is zero before its first step


def test_it_is_refused_with_a_head_that_computes_nothing_after_the_first_epoch() -> None:
    sections = {"lora": {"train_head": False}, "training": {"cache_activations": True}, "methods": AUXILIARY}
    with pytest.raises(AppError, match="auxiliary_loss needs the head's output"):
        splitcore.RunConfig.parse({"model": {"name_or_path": "m"}, **sections})


def test_its_gradients_are_the_mean_over_its_own_tokens(place: Place) -> None:
    stages = [place.config.methods[0].build(place) for _ in range(2)]
    sgd = place.config.training.model_copy(update={"optimiser": "sgd", "clip_norm": None})
    own = [OwnParameters([stage], sgd, 20) for stage in stages]
    for which, (normaliser, factor) in enumerate(((4.0, 1.0), (16.0, 4.0))):
        hidden_BLD = torch.randn(
            1, 4, stages[0].parameters()["up"].shape[0], generator=torch.Generator().manual_seed(1)
        )
        loss = stages[which].loss(hidden_BLD, LABELS_BL, At(0, 0, torch.ones(1, 4)))
        assert loss is not None
        (loss / normaliser).backward()
        own[which].scale(factor)
        own[which].apply(0)
    assert torch.allclose(stages[0].parameters()["up"], stages[1].parameters()["up"], atol=1e-9)
