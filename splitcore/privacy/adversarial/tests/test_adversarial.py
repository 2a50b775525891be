"""The defence `adversarial`: both gradients of the game, and that a reader reads less the more it weighs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from splitcore.attacks.classes import fit_classes
from splitcore.attacks.tests.recorded import Recorded, recorded
from splitcore.privacy.adversarial.config import Adversarial
from splitcore.privacy.adversarial.stage import AdversarialStage
from splitcore.privacy.tests.training import AT, IDS_BL, LABELS_BL, MASK_BL, TARGETS, Model, place_of

REAL_BL = MASK_BL.bool()
EPOCHS = 12


@pytest.fixture
def stage(model: Model, tmp_path: Path) -> AdversarialStage:
    return Adversarial(weight=0.7, rank=8).build(place_of(model("llama"), tmp_path))  # type: ignore[return-value]


def hidden(width: int) -> torch.Tensor:
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(4), requires_grad=True)


def test_the_reader_goes_down_its_loss_and_the_head_up(stage: AdversarialStage) -> None:
    hidden_BLD = hidden(stage.parameters()["down"].shape[1])
    loss = stage.loss(hidden_BLD, LABELS_BL, AT)
    assert loss is not None
    loss.backward()
    plain_BLD = hidden_BLD.detach().clone().requires_grad_()
    loss_N = cross_entropy(stage.logits(plain_BLD[REAL_BL]), IDS_BL[REAL_BL], reduction="none")
    assert loss.item() == pytest.approx(TARGETS * loss_N.mean().item(), rel=1e-6)
    vocabulary = stage.logits(plain_BLD[REAL_BL]).shape[1]
    (up,) = torch.autograd.grad(TARGETS * loss_N.mean(), stage.parameters()["up"], retain_graph=True)
    assert torch.allclose(stage.parameters()["up"].grad, up, rtol=1e-5)  # type: ignore[arg-type]
    pushing_N = (loss_N < math.log(vocabulary)).float()
    (down,) = torch.autograd.grad(TARGETS * (loss_N * pushing_N).mean(), plain_BLD)
    assert pushing_N.any()
    assert torch.allclose(hidden_BLD.grad, -0.7 * down, rtol=1e-4, atol=1e-7)  # type: ignore[arg-type]


def test_a_token_that_is_read_no_better_than_by_chance_pushes_no_further(stage: AdversarialStage) -> None:
    with torch.no_grad():
        stage.parameters()["up"].mul_(1e4)  # sure of itself, and wrong
    hidden_BLD = hidden(stage.parameters()["down"].shape[1])
    loss = stage.loss(hidden_BLD, LABELS_BL, AT)
    assert loss is not None
    loss.backward()
    loss_N = cross_entropy(stage.logits(hidden_BLD.detach()[REAL_BL]), IDS_BL[REAL_BL], reduction="none")
    assert hidden_BLD.grad is not None
    pushed_N = hidden_BLD.grad[REAL_BL].any(1)
    assert not pushed_N.all()
    assert not pushed_N[loss_N > math.log(stage.logits(hidden_BLD.detach()[REAL_BL]).shape[1])].any()


def test_it_goes_without_a_gradient(stage: AdversarialStage) -> None:
    hidden_BLD = hidden(stage.parameters()["down"].shape[1]).detach()
    assert stage.loss(hidden_BLD, LABELS_BL, AT) is not None


def read(taken: Recorded) -> float:
    """The share of tokens that a reader finds in the last epoch, having learnt from the others of that epoch."""
    knowledge, count = taken.knowledge(), len(taken.truths) // EPOCHS
    last = range(len(taken.truths) - count, len(taken.truths))
    pairs = [(taken.transcript.crossings[place].hidden_ND, taken.truths[place].ids_N) for place in last]
    right = total = 0
    for fold in range(4):
        classes = fit_classes([pair for at, pair in enumerate(pairs) if at % 4 != fold], knowledge.embedding)
        for hidden_ND, ids_N in pairs[fold::4]:
            right, total = right + int((classes.read(hidden_ND) == ids_N).sum()), total + len(ids_N)
    return right / total


def test_a_fresh_reader_reads_less_the_more_it_weighs(model: Model, tmp_path: Path) -> None:
    found = []
    for weight in (0.0, 0.3, 1.0):
        defences: list[Any] = [{"name": "adversarial", "weight": weight, "rank": 32}] if weight else []
        changes = {"training": {"learning_rate": 2e-2}, "lora": {"rank": 8}, "privacy": {"defences": defences}}
        found.append(read(recorded(model("llama"), tmp_path / str(weight), epochs=EPOCHS, **changes)))
    assert found[0] >= found[1] > found[2] + 0.2  # 1.0, 0.996 and 0.55; it is no law: weight 3 gave 0.81
