"""The defence `bottleneck`: its divergence against torch.distributions, its channel, and what training makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from splitcore.privacy.bottleneck.config import Bottleneck
from splitcore.privacy.bottleneck.stage import BottleneckStage, divergence
from splitcore.privacy.noise import Noise
from splitcore.privacy.tests.training import AT, KEY, LABELS_BL, MASK_BL, TARGETS, Model, place_of
from splitcore.step.own_parameters import OwnParameters
from splitcore.wire.protocol.messages import Phase

REAL_BL = MASK_BL.bool()
Build = Callable[..., BottleneckStage]


@pytest.fixture
def build(model: Model, tmp_path: Path) -> Build:
    place = place_of(model("llama"), tmp_path)
    return lambda **fields: BottleneckStage(Bottleneck(rank=4, **fields), place, Noise(KEY))


def hidden(stage: BottleneckStage) -> torch.Tensor:
    width = stage.parameters()["gain"].shape[0]
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(4), requires_grad=True)


def test_the_divergence_is_the_one_of_torch() -> None:
    mean, log_deviation = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, log_deviation.exp()), Normal(torch.zeros(50), torch.ones(50)))
    assert torch.allclose(divergence(mean, log_deviation), expected)


def test_at_the_start_what_leaves_has_noise_of_the_chosen_size_and_no_other_change(build: Build) -> None:
    stage, still = build(noise=0.5), build(noise=1e-3)
    hidden_BLD = hidden(stage)
    quiet_BLD = still.protect(hidden_BLD, Phase.HEAD_UP, AT)
    assert torch.allclose(quiet_BLD[REAL_BL], hidden_BLD[REAL_BL], atol=0.02)
    off_ND = (stage.protect(hidden_BLD, Phase.HEAD_UP, AT) - hidden_BLD)[REAL_BL] / stage._scale_D
    assert float(off_ND.detach().std()) == pytest.approx(0.5, rel=0.2)
    padding_ND = stage.protect(hidden_BLD, Phase.HEAD_UP, AT)[~REAL_BL]
    moved_BLD = hidden_BLD + (~REAL_BL).unsqueeze(-1)
    assert torch.equal(padding_ND, stage.protect(moved_BLD, Phase.HEAD_UP, AT)[~REAL_BL])


def test_the_same_release_has_the_same_noise_and_gradients_go_through_the_channel(build: Build) -> None:
    stage = build()
    hidden_BLD = hidden(stage)
    leaving_BLD = stage.protect(hidden_BLD, Phase.HEAD_UP, AT)
    assert torch.equal(leaving_BLD, stage.protect(hidden_BLD, Phase.HEAD_UP, AT))
    leaving_BLD.sum().backward()
    assert torch.allclose(hidden_BLD.grad[REAL_BL], torch.ones(1), atol=1e-5)  # type: ignore[index]
    assert not hidden_BLD.grad[~REAL_BL].any()  # type: ignore[index]
    assert stage.protect(hidden_BLD, Phase.TAIL_UP, AT) is hidden_BLD


def test_the_loss_is_what_real_tokens_tell_and_its_gradient_closes_the_channel(build: Build) -> None:
    stage = build(weight=2.0)
    hidden_BLD = hidden(stage)
    mean_BLD, log_deviation_BLD = stage.channel(hidden_BLD)
    laws = Normal(mean_BLD[REAL_BL], log_deviation_BLD.exp()[REAL_BL]), Normal(torch.tensor(0.0), torch.tensor(1.0))
    stage.protect(hidden_BLD, Phase.HEAD_UP, AT)
    loss = stage.loss(hidden_BLD, LABELS_BL, AT)
    assert loss is not None
    assert loss.item() == pytest.approx(2.0 * TARGETS * kl_divergence(*laws).mean().item(), rel=1e-4)
    with pytest.raises(RuntimeError):
        stage.loss(hidden_BLD, LABELS_BL, AT)


def test_trained_for_it_alone_it_tells_next_to_nothing(build: Build, model: Model, tmp_path: Path) -> None:
    stage = build(weight=1.0)
    training = place_of(model("llama"), tmp_path).config.training.model_copy(update={"learning_rate": 0.05})
    own, hidden_BLD, told = OwnParameters([stage], training, 400), hidden(stage).detach(), list[float]()
    for step in range(300):
        stage.protect(hidden_BLD, Phase.HEAD_UP, AT)
        loss = stage.loss(hidden_BLD, LABELS_BL, AT)
        assert loss is not None
        loss.backward()
        told.append(float(loss) / TARGETS)
        own.apply(step)
    assert told[0] > 1.8  # nats for each number
    assert told[-1] < 0.05
