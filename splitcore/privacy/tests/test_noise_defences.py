"""What every defence with noise promises: one noise per row and values, none without the secret, in real trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, capture, plan_of
from splitcore.config import RunConfig
from splitcore.control.events import SERVER, CheckpointChanged, Event
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.privacy.law import NoiseDefence, noise_among
from splitcore.privacy.registry import DEFENCES
from splitcore.privacy.secret import NAME
from splitcore.privacy.tests.released import HIDDEN_BLD, KEY, MASK_BL, WIDTH, at, defence, released, stage_of
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference
from splitcore.wire.protocol.messages import Phase

Model = Callable[[str], Path]
NOISES: dict[str, dict[str, Any]] = {  # fields with which a tiny model still trains
    "gaussian": {"clip": 5.0, "noise": 0.05},
    "matrix_gaussian": {"clip": 5.0, "noise": 0.05},
    "dchi": {"clip": 5.0, "eta": 64.0},
    "importance_noise": {"clip": 5.0, "noise": 0.03},
}
each = pytest.mark.parametrize("name", NOISES)
FROZEN = {"train_head": False}


def with_noise(folder: Path, name: str, **changes: Any) -> RunConfig:
    return run_config(folder, **{"privacy": {"defences": [{"name": name, **NOISES[name]}]}, **changes})


@pytest.fixture
def one_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job draws the same secret."""
    monkeypatch.setattr("splitcore.privacy.secret.secrets.token_bytes", lambda count: KEY[:count])


def test_every_defence_with_noise_is_tested_here() -> None:
    assert [one.model_fields["name"].default for one in DEFENCES if issubclass(one, NoiseDefence)] == list(NOISES)


# ---- one release


@each
def test_the_same_row_gets_the_same_noise_in_any_batch(name: str, tmp_path: Path) -> None:
    stage = stage_of(defence(name), tmp_path)
    noisy_BLD = released(stage, HIDDEN_BLD)
    assert torch.equal(noisy_BLD[:1], released(stage, HIDDEN_BLD[:1], at(rows=(3,), micro=5, count=1)))
    wider_BLD = torch.nn.functional.pad(HIDDEN_BLD, (0, 0, 0, 3))
    real_BL = MASK_BL.bool()
    assert torch.equal(noisy_BLD[real_BL], released(stage, wider_BLD, at(extra=3))[:, :4][real_BL])


@each
def test_other_rows_values_and_secrets_get_other_noise(name: str, tmp_path: Path) -> None:
    stage = stage_of(defence(name), tmp_path)
    noisy_BLD = released(stage, HIDDEN_BLD)
    size = float((noisy_BLD - stage.clipped(HIDDEN_BLD, MASK_BL))[0].std())  # type: ignore[attr-defined]
    moved_BLD = HIDDEN_BLD.clone()
    moved_BLD[0, 0, 0] += 1e-3
    for other_BLD in (released(stage, moved_BLD), released(stage, HIDDEN_BLD, at(rows=(4, 9)))):
        assert float((other_BLD - noisy_BLD)[0].std()) > size
    assert torch.equal(released(stage, moved_BLD)[1], noisy_BLD[1])
    for micro in (1, 2):
        held_BLD = released(stage, HIDDEN_BLD, at(rows=None, micro=micro))
        assert not torch.equal(held_BLD, noisy_BLD)
        assert torch.equal(held_BLD, released(stage, HIDDEN_BLD, at(rows=None, micro=micro)))


@each
def test_a_held_out_row_has_one_noise_in_all_evaluations_and_a_public_prompt_with_its_text_another(
    name: str, tmp_path: Path
) -> None:
    stage = stage_of(defence(name), tmp_path)
    held_BLD = released(stage, HIDDEN_BLD, at(rows=None, held_out=(3, 9)))
    assert torch.equal(held_BLD, released(stage, HIDDEN_BLD, at(rows=None, held_out=(3, 9), micro=2)))
    others = [at(rows=None, held_out=(4, 10)), at(rows=(3, 9)), *(at(rows=None, micro=turn) for turn in range(4))]
    for other_BLD in (released(stage, HIDDEN_BLD, where) for where in others):
        assert not (other_BLD == held_BLD).all(dim=2).any()


@each
def test_padding_leaves_as_noise_alone_and_rows_that_were_not_computed_as_nothing(name: str, tmp_path: Path) -> None:
    stage, padding_BL = stage_of(defence(name), tmp_path), ~MASK_BL.bool()
    other_BLD = HIDDEN_BLD + 7.0 * padding_BL.unsqueeze(-1)
    padding_ND = released(stage, HIDDEN_BLD)[padding_BL]
    assert torch.equal(padding_ND, released(stage, other_BLD)[padding_BL])
    assert float(padding_ND.abs().min()) > 0.0
    assert not released(stage, torch.zeros_like(HIDDEN_BLD)).any()


@each
def test_the_noise_has_the_size_of_its_law(name: str, tmp_path: Path) -> None:
    choice = defence(name)
    assert isinstance(choice, NoiseDefence)
    law, stage = choice.law(WIDTH), stage_of(choice, tmp_path)
    noise_ND = (released(stage, HIDDEN_BLD) - stage.clipped(HIDDEN_BLD, MASK_BL))[~MASK_BL.bool()]  # type: ignore[attr-defined]
    assert float(noise_ND.square().mean().sqrt()) == pytest.approx(law.deviation, rel=0.12)
    norm_BL = stage.clipped(1e3 * HIDDEN_BLD, MASK_BL).norm(dim=2)  # type: ignore[attr-defined]
    norm_B = norm_BL.norm(dim=1) if law.clips == "row" else norm_BL[:, 0]
    assert norm_B.tolist() == pytest.approx([law.clip, law.clip], rel=1e-6)


@each
def test_the_gradient_goes_back_through_the_clip_and_gradients_at_the_cut_are_left_alone(
    name: str, tmp_path: Path
) -> None:
    stage, leaf_BLD = stage_of(defence(name, clip=5.0), tmp_path), HIDDEN_BLD.clone().requires_grad_()
    released(stage, leaf_BLD).sum().backward()
    assert leaf_BLD.grad is not None
    along_BL = (leaf_BLD.grad * HIDDEN_BLD).sum(-1)
    along = along_BL.sum(1) if name == "matrix_gaussian" else along_BL
    assert float(along.abs().max()) < 1e-3  # what is clipped to a sphere has no slope along itself
    assert float(leaf_BLD.grad[MASK_BL.bool()].abs().max()) > 0.0
    assert not leaf_BLD.grad[~MASK_BL.bool()].any()
    assert stage.protect(HIDDEN_BLD, Phase.TAIL_UP, at()) is HIDDEN_BLD


# ---- configurations


def test_two_noises_at_once_are_refused() -> None:
    privacy = {"defences": ["gaussian", "dchi"]}
    with pytest.raises(AppError, match="Choose between gaussian and dchi"):
        RunConfig.parse({"model": {"name_or_path": "m"}, "privacy": privacy})
    one = RunConfig.parse({"model": {"name_or_path": "m"}, "privacy": {"defences": ["dchi"]}})
    found = noise_among(one.privacy.defences)
    assert found is not None
    assert found.name == "dchi"


# ---- real trainings


class InterruptionError(Exception):
    """The listener's end."""


@each
def test_a_run_that_broke_off_ends_with_the_bytes_of_one_that_did_not(
    name: str, model: Model, tmp_path: Path, one_secret: None
) -> None:
    config = with_noise(model("llama"), name, training={"steps": 4, "checkpoint_every": 1, "eval_every": 2})

    def interrupt(event: Event) -> None:
        if isinstance(event, CheckpointChanged) and (event.party, event.step, event.action) == (SERVER, 2, "saved"):
            raise InterruptionError

    data: dict[str, Any] = {"a": rows(10)}
    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, data, out=tmp_path / "broken", on_event=interrupt)
    assert len(list((tmp_path / "broken").rglob(NAME))) == 1
    splitcore.fine_tune(config, data, out=tmp_path / "broken", resume=True)
    splitcore.fine_tune(config, data, out=tmp_path / "whole")
    assert difference(tmp_path / "whole" / "adapter", tmp_path / "broken" / "adapter") == 0.0


@each
def test_a_frozen_head_releases_a_row_once_whatever_the_batches_and_the_cache_changes_nothing(
    name: str, model: Model, tmp_path: Path, one_secret: None
) -> None:
    """The same hidden states of a row in each epoch, in micro-batches of one row or four, evaluations aside."""
    seen = [
        _hidden(with_noise(model("llama"), name, lora=FROZEN, training={"micro_batches": count}), tmp_path / str(count))
        for count in (1, 4)
    ]
    assert all(len(releases) == 2 for releases in seen[0].values())
    for row, (first, second) in seen[0].items():
        assert torch.equal(first, second)
        assert torch.equal(first, seen[1][row][0])
    training = {"steps": 6, "eval_every": 3}
    for label, cached in (("plain", False), ("cached", True)):
        config = with_noise(model("llama"), name, lora=FROZEN, training={**training, "cache_activations": cached})
        splitcore.fine_tune(config, {"a": rows(8)}, out=tmp_path / label)
    assert difference(tmp_path / "plain" / "adapter", tmp_path / "cached" / "adapter") == 0.0


@each
@pytest.mark.parametrize(
    "wire",
    [
        {"activations": "int8", "skip_padding": True},
        {"activations": "int4"},
        {"activations": "bf16", "changes": "int4"},
    ],
    ids=["int8", "int4", "changes"],
)
def test_it_goes_with_number_formats_and_with_changes_alone(
    name: str, wire: dict[str, Any], model: Model, tmp_path: Path
) -> None:
    """What arrives is what left, up to the format's rounding: noise is put on before it and not by it."""
    choice = defence(name, **NOISES[name])
    assert isinstance(choice, NoiseDefence)
    config = with_noise(model("llama"), name, wire=wire, lora=FROZEN)
    exact = _hidden(run_config(model("llama"), lora=FROZEN), tmp_path / "exact")
    coded = _hidden(config, tmp_path / "coded")
    width = next(iter(exact.values()))[0].shape[1]
    law = choice.law(width)
    for row, releases in coded.items():
        for hidden_ND in releases:
            off = float((hidden_ND - exact[row][0]).square().mean().sqrt())
            assert 0.5 * law.deviation < off < 4 * law.deviation


def _hidden(config: RunConfig, folder: Path) -> dict[int, list[torch.Tensor]]:
    """The hidden states that crossed of each row, in their order."""
    taken = capture(config, rows(8), folder, epochs=2)
    transcript = TranscriptReader(plan_of(taken.config), PARTY).read(taken.recording)
    found: dict[int, list[torch.Tensor]] = {}
    for crossing in transcript.crossings:
        row = taken.rows[crossing.step, crossing.micro, crossing.place].number
        found.setdefault(row, []).append(crossing.hidden_ND)
    return found
