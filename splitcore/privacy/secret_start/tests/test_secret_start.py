"""The defence `secret_start`: where adapters begin, and what the label attack still reads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import splitcore
from splitcore.attacks.figures import figures_of
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.label_gradient.config import LabelGradient
from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, capture, plan_of
from splitcore.audit.scoring import truths_of
from splitcore.config import override_problems
from splitcore.control.events import SERVER, CheckpointChanged, Event
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.privacy.secret import NAME
from splitcore.privacy.secret_start.stage import draw_weights
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
SECRET = {"defences": ["secret_start"]}
NOTES = [{"prompt": f"Note {i}: seen on day {i * 7 % 31}.", "completion": f" ward {i * 5 % 17}"} for i in range(24)]
KEY = bytes(range(32))


def is_end(name: str) -> bool:
    """Whether a tensor is the head's or the tail's, of five layers that are cut 1 | 2 | 2."""
    return not any(f".layers.{number}." in name for number in (1, 2))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_a_is_uniform_as_peft_draws_it_and_follows_from_secret_and_name() -> None:
    def drawn(secret: bytes, name: str = "q.lora_A.weight") -> torch.Tensor:
        adapter = {name: nn.Parameter(torch.zeros(64, 256)), "q.lora_B.weight": nn.Parameter(torch.zeros(256, 64))}
        draw_weights(adapter, secret)
        assert not adapter["q.lora_B.weight"].any()
        return adapter[name].detach()

    expected = nn.init.kaiming_uniform_(torch.empty(64, 256), a=math.sqrt(5))
    found = drawn(KEY)
    assert float(found.abs().max()) <= 1 / 16
    assert float(found.std()) == pytest.approx(float(expected.std()), rel=0.02)
    assert float(found.mean()) == pytest.approx(0.0, abs=1e-3)
    assert torch.equal(found, drawn(KEY))
    for other in (drawn(bytes(31) + b"\1"), drawn(KEY, "v.lora_A.weight")):
        assert abs(float(torch.corrcoef(torch.stack([found.flatten(), other.flatten()]))[0, 1])) < 0.03


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_the_split_computes_what_peft_does_from_the_same_first_weights(
    model: Model, tmp_path: Path, topology: str
) -> None:
    plain = run_config(model("llama"), split={"topology": topology})
    config = run_config(model("llama"), split={"topology": topology}, privacy=SECRET)
    split = splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path / "split", eval_rows=rows(3))
    start = tmp_path / "split" / "initial_adapter"
    whole = splitcore.fine_tune_unsplit(
        plain, {"a": rows(10)}, out=tmp_path / "unsplit", eval_rows=rows(3), initial=start
    )
    assert split.train_losses == whole.train_losses
    assert split.eval_losses == whole.eval_losses
    assert difference(tmp_path / "split" / "adapter", tmp_path / "unsplit" / "adapter") == 0.0


def test_head_and_tail_begin_elsewhere_in_each_job_and_the_body_where_it_did(model: Model, tmp_path: Path) -> None:
    started = {}
    for name, privacy in (("plain", {}), ("one", SECRET), ("other", SECRET)):
        config = run_config(model("llama"), training={"steps": 1, "eval_every": 0}, privacy=privacy)
        splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path / name)
        started[name] = weights(tmp_path / name / "initial_adapter")
    for name, tensor in started["plain"].items():
        for one, two in (("plain", "one"), ("one", "other")):
            alike = torch.equal(started[one][name], started[two][name])
            assert alike == (not is_end(name) or "lora_B" in name), name
        assert tensor.shape == started["one"][name].shape


class InterruptionError(Exception):
    """The listener's end."""


def test_a_run_that_broke_off_ends_with_the_same_adapter(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "splitcore.privacy.secret.secrets.token_bytes",
        lambda count: KEY if count == len(KEY) else os.urandom(count),
    )
    config = run_config(model("llama"), training={"steps": 4, "checkpoint_every": 1, "eval_every": 0}, privacy=SECRET)

    def interrupt(event: Event) -> None:
        if isinstance(event, CheckpointChanged) and (event.party, event.step, event.action) == (SERVER, 2, "saved"):
            raise InterruptionError

    data: dict[str, Any] = {"a": rows(10)}
    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, data, out=tmp_path / "broken", on_event=interrupt)
    assert len(list((tmp_path / "broken").rglob(NAME))) == 1
    splitcore.fine_tune(config, data, out=tmp_path / "broken", resume=True)
    splitcore.fine_tune(config, data, out=tmp_path / "whole")
    for adapter in ("adapter", "initial_adapter"):
        assert difference(tmp_path / "whole" / adapter, tmp_path / "broken" / adapter) == 0.0


def test_it_is_refused_where_several_parties_exchange_their_ends(model: Model, tmp_path: Path) -> None:
    config, own = (
        splitcore.RunConfig.parse({"model": {"name_or_path": "m"}, "privacy": SECRET, "schedule": schedule})
        for schedule in ("parallel", "personalised")
    )
    assert override_problems(config, ["a"]) == []
    assert override_problems(own, ["a", "b"]) == []
    assert [one["field"] for one in override_problems(config, ["a", "b"])] == ["privacy.defences"]
    with pytest.raises(AppError, match="secret_start needs a schedule"):
        splitcore.fine_tune(config, {"a": rows(3), "b": rows(3)}, out=tmp_path)


def test_parties_that_keep_their_ends_have_secrets_of_their_own(model: Model, tmp_path: Path) -> None:
    training = {"steps": 1, "eval_every": 0}
    config = run_config(model("llama"), training=training, privacy=SECRET, schedule={"name": "personalised"})
    splitcore.fine_tune(config, {"a": rows(4), "b": rows(4)}, out=tmp_path)
    one, other = (weights(tmp_path / "adapters" / party) for party in "ab")
    ends = [name for name in one if "lora_A" in name and is_end(name)]
    assert ends
    assert all(float((one[name] - other[name]).abs().max()) > 0.05 for name in ends)


def test_following_from_the_public_seed_loses_the_tail_but_the_first_step_is_read_all_the_same(
    model: Model, tmp_path: Path
) -> None:
    """Without it, all of it is read to 100 % (see the tests of `label_gradient`)."""
    config = run_config(model("llama"), training={"learning_rate": 2e-2}, lora={"rank": 8}, privacy=SECRET)
    taken = capture(config, NOTES, tmp_path, epochs=6)
    plan = plan_of(taken.config)
    transcript = TranscriptReader(plan, PARTY).read(taken.recording)
    guesses = LabelGradient(steps=30).build().guess(transcript, Knowledge(plan, PARTY))
    truths, crossings = truths_of(taken, transcript, LabelGradient.channel), transcript.crossings

    def share(places: list[int]) -> float:
        return figures_of([guesses[place] for place in places], [truths[place] for place in places]).tokens.value

    assert share([place for place, one in enumerate(crossings) if one.step == 0]) == 1.0
    assert share([place for place, one in enumerate(crossings) if one.step >= 2 * transcript.steps // 3]) < 0.9
