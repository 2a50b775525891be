"""The defence `gaussian`: what leaves, what goes back, and that a repeated release is the same one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from splitcore.boundary.stages import At
from splitcore.control.events import SERVER, CheckpointChanged, Event, StepFinished
from splitcore.models.tests.tiny import rows
from splitcore.privacy.clipping import clipped_tokens
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.gaussian.stage import GaussianStage
from splitcore.privacy.noise import Noise
from splitcore.privacy.secret import NAME
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference
from splitcore.wire.protocol.messages import Kind, Message, Phase
from splitcore.wire.protocol.session import Session

Model = Callable[[str], Path]
KEY = bytes(range(32))
MASK_BL = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
HIDDEN_BLD = torch.randn(2, 4, 256, generator=torch.Generator().manual_seed(5)) * 3


def released(tensor_BLD: torch.Tensor, *, rows: tuple[int, ...] | None = (3, 9), **fields: float) -> torch.Tensor:
    stage = GaussianStage(Gaussian(**fields), Noise(KEY))  # type: ignore[arg-type]
    return stage.protect(tensor_BLD, Phase.HEAD_UP, At(0, 0, MASK_BL[: len(tensor_BLD)], rows))


def test_vectors_are_clipped_and_the_noise_has_the_chosen_size() -> None:
    clean_BLD = released(HIDDEN_BLD, clip=10.0, noise=1e-6)
    norms = clean_BLD.norm(dim=-1)[MASK_BL.bool()]
    assert torch.allclose(norms, torch.full_like(norms, 10.0), atol=1e-3)
    noisy_BLD = released(HIDDEN_BLD, clip=10.0, noise=0.5)
    assert float((noisy_BLD - clean_BLD).std()) == pytest.approx(5.0, rel=0.05)


def test_short_vectors_keep_their_length_and_padding_leaves_as_noise_alone() -> None:
    clean_BLD = released(HIDDEN_BLD, clip=1e5, noise=1e-12)
    assert torch.allclose(clean_BLD[MASK_BL.bool()], HIDDEN_BLD[MASK_BL.bool()], atol=1e-5)
    padding_ND = released(HIDDEN_BLD, clip=1.0, noise=1.0)[~MASK_BL.bool()]
    assert torch.equal(
        padding_ND, released(HIDDEN_BLD + ~MASK_BL.bool().unsqueeze(-1), clip=1.0, noise=1.0)[~MASK_BL.bool()]
    )
    assert float(padding_ND.std()) == pytest.approx(1.0, rel=0.15)


def test_the_same_row_gets_the_same_noise_in_any_batch_and_other_values_or_rows_get_other_noise() -> None:
    noisy_BLD = released(HIDDEN_BLD)
    assert torch.equal(noisy_BLD[:1], released(HIDDEN_BLD[:1], rows=(3,)))
    moved_BLD = HIDDEN_BLD.clone()
    moved_BLD[0, 0, 0] += 1e-3
    difference_LD = released(moved_BLD)[0] - noisy_BLD[0]
    assert float(difference_LD.std()) > 0.5  # two draws of noise of 1.0, and no shift of 0.001
    twins_BLD = HIDDEN_BLD[:1].expand(2, -1, -1)
    one, other = GaussianStage(Gaussian(), Noise(KEY)).protect(
        twins_BLD, Phase.HEAD_UP, At(0, 0, MASK_BL[:1].expand(2, -1), (3, 4))
    )
    assert float((one - other).std()) > 0.5  # equal rows do not look equal
    assert not torch.equal(released(HIDDEN_BLD, rows=None), noisy_BLD)


def test_two_rows_are_no_further_apart_than_the_sensitivity_and_opposite_ones_as_far() -> None:
    tokens = int(MASK_BL[0].sum())
    sensitivity = Gaussian(clip=10.0).release(tokens).sensitivity
    others_BLD = torch.randn(64, *HIDDEN_BLD[0].shape, generator=torch.Generator().manual_seed(6)) * 9
    mask_BL = torch.ones(64, tokens, dtype=torch.int64)
    clipped_BLD = clipped_tokens(others_BLD, mask_BL, 10.0)
    assert float(torch.cdist(clipped_BLD.flatten(1), clipped_BLD.flatten(1)).max()) < sensitivity
    opposite_BLD = clipped_BLD + clipped_tokens(-others_BLD, mask_BL, 10.0)
    assert float(opposite_BLD.abs().max()) == 0.0
    assert float((2 * clipped_BLD).flatten(1).norm(dim=1).max()) == pytest.approx(sensitivity)


def test_the_gradient_goes_back_through_the_clip() -> None:
    leaf_BLD = HIDDEN_BLD.clone().requires_grad_()
    released(leaf_BLD, clip=10.0).sum().backward()
    assert leaf_BLD.grad is not None
    along = (leaf_BLD.grad * HIDDEN_BLD).sum(-1)[MASK_BL.bool()]
    assert float(along.abs().max()) < 1e-3  # what is clipped to a sphere has no slope along itself
    assert not leaf_BLD.grad[~MASK_BL.bool()].any()


def test_gradients_at_the_cut_are_left_alone() -> None:
    stage = GaussianStage(Gaussian(), Noise(KEY))
    assert stage.protect(HIDDEN_BLD, Phase.TAIL_UP, At(0, 0, MASK_BL, (3, 9))) is HIDDEN_BLD


class InterruptionError(Exception):
    """The listener's end."""


def test_a_run_that_broke_off_goes_on_with_the_same_noise_and_its_secret_was_there_before_the_first_hidden_state(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    privacy = {"defences": [{"name": "gaussian", "clip": 5.0, "noise": 0.05}]}
    training = {"steps": 4, "checkpoint_every": 1, "eval_every": 2}
    config = run_config(model("llama"), training=training, privacy=privacy)
    plain = run_config(model("llama"), training=training)
    synced, drawn = list[str](), [KEY, KEY]
    sync = os.fsync
    monkeypatch.setattr(
        "splitcore.privacy.secret.secrets.token_bytes",
        lambda count: drawn.pop() if count == len(KEY) else os.urandom(count),
    )

    send = Session.send

    def told(session: Session, message: Message, **how: Any) -> int:
        if message.kind is Kind.ACTIVATIONS:
            synced.append("ACTIVATIONS")
        return send(session, message, **how)

    monkeypatch.setattr(Session, "send", told)

    def note(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    events: list[Event] = []

    def interrupt(event: Event) -> None:
        events.append(event)
        if isinstance(event, CheckpointChanged) and (event.party, event.step, event.action) == (SERVER, 2, "saved"):
            raise InterruptionError

    data: dict[str, Any] = {"a": rows(10)}
    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, data, out=tmp_path / "broken", on_event=interrupt)
    (key,) = (tmp_path / "broken").rglob(NAME)
    before = synced[: synced.index("ACTIVATIONS")]
    assert any(NAME in path for path in before)
    assert str(key.parent) in before
    again: list[Event] = []
    splitcore.fine_tune(config, data, out=tmp_path / "broken", resume=True, on_event=again.append)
    assert len(drawn) == 1  # the resumed run took the secret that lay there
    splitcore.fine_tune(config, data, out=tmp_path / "whole")
    assert difference(tmp_path / "whole" / "adapter", tmp_path / "broken" / "adapter") == 0.0
    assert any(isinstance(event, StepFinished) for event in again)
    splitcore.fine_tune(plain, data, out=tmp_path / "plain")
    assert difference(tmp_path / "whole" / "adapter", tmp_path / "plain" / "adapter") > 0.0
