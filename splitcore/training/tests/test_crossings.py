"""What crosses the cut: caches that stay the same at both ends, padding left out, a frozen head's rows sent once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import splitcore
from splitcore import RunResult
from splitcore.adapters.verify import verify_loads
from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.training.clock import Clock
from splitcore.training.crossings import Crossings, Place
from splitcore.training.row_cache import RowCache
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_stop_and_resume import SEGMENTS, Pair
from splitcore.wire.codecs import encode
from splitcore.wire.messages import Kind, Message, Phase

Model = Callable[[str], Path]
Adapter = dict[str, torch.Tensor]
LOW_BIT = {"activations": "int4", "gradients": "int3", "gradient_rounding": "rotated"}


def trained(out: Path, config: RunConfig) -> tuple[RunResult, Adapter]:
    result = splitcore.fine_tune(config, {"a": rows(10)}, out=out, eval_rows=rows(3))
    return result, load_file(out / "adapter" / "adapter_model.safetensors")


def assert_same(ours: tuple[RunResult, Adapter], theirs: tuple[RunResult, Adapter]) -> None:
    assert ours[0].train_losses == theirs[0].train_losses
    assert ours[0].eval_losses == theirs[0].eval_losses
    assert ours[1].keys() == theirs[1].keys()
    assert all(torch.equal(ours[1][name], theirs[1][name]) for name in ours[1])


class Ends:
    """Both ends of a conversation, and a row's activations that drift as training goes on."""

    def __init__(self, folder: Path, **wire: Any) -> None:
        config = run_config(folder, wire={"activations": "int4", **wire})
        self.client, self.server = (
            Crossings(config, "a", Clock(), width=32, holds=holds, folder=folder / "cache") for holds in (False, True)
        )
        self._generator = torch.Generator().manual_seed(1)
        self._first = torch.randn(8, 6, 32, generator=self._generator)

    def hidden(self, numbers: tuple[int, ...], drift: float) -> torch.Tensor:
        noise = torch.randn(len(numbers), 6, 32, generator=self._generator)
        return self._first[list(numbers)] + drift * noise

    def cross(self, numbers: tuple[int, ...], hidden_BLD: torch.Tensor, *, step: int = 0) -> tuple[torch.Tensor, int]:
        """What the server gets of rows 0 to 7, which are 3, 4, 5 or 6 tokens long; and the bytes that it took."""
        mask_BL = torch.tensor([[1] * (3 + row % 4) + [0] * (3 - row % 4) for row in numbers])
        place = Place(step, 0, mask_BL, numbers)
        told = {name: encode(*entry) for name, entry in self.client.told(place).items()}
        sent = self.client.send(Phase.HEAD_UP, place, hidden_BLD)
        message = Message(Kind.ACTIVATIONS, step=step, phase=Phase.HEAD_UP, tensors={**told, **sent})
        there = self.server.place(message, "cpu")
        got_BLD = self.server.receive(message, there, device="cpu", dtype=torch.float32)
        return got_BLD, sum(payload.nbytes for payload in sent.values())

    def assert_equal_caches(self) -> None:
        ours, theirs = self.client.state(), self.server.state()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("cache_on", ["memory", "disk"])
def test_changes_follow_the_activations_and_both_ends_keep_the_same_cache(
    tmp_path: Path, model: Model, cache_on: str
) -> None:
    ends = Ends(model("llama"), changes="int2", cache_on=cache_on)
    errors, sizes = [], []
    for epoch in range(6):
        for numbers in ((0, 1, 2), (3, 4, 5), (6, 7, 0)):  # row 0 twice an epoch
            hidden_BLD = ends.hidden(numbers, 0.02)
            got_BLD, size = ends.cross(numbers, hidden_BLD, step=epoch)
            real = got_BLD.abs().sum(-1) > 0
            errors.append(float((got_BLD - hidden_BLD)[real].square().mean()))
            sizes.append(size)
        ends.client.settle()
        ends.server.settle()
        ends.assert_equal_caches()
    assert len(ends.client.state()["head_up.rows"]) == 8
    assert errors[-1] < errors[0] / 5  # two bits of a change tell more than four of the whole
    assert sizes[-2] < sizes[1] * 0.7


def test_a_mixed_micro_batch_and_a_row_without_room_are_sent_in_full(model: Model) -> None:
    ends = Ends(model("llama"), changes="ternary")
    for changes in (*ends.client._changes.values(), *ends.server._changes.values()):
        changes.cache._limit = 12 * 32 * 2  # twelve tokens: rows 0, 1 and 2 find room, 3 does not
    sizes = [ends.cross((0, 1, 2, 3), ends.hidden((0, 1, 2, 3), 0.01))[1] for _ in range(2)]
    assert sizes[1] < sizes[0]
    assert ends.client._changes[Phase.HEAD_UP].cache.nbytes == 12 * 32 * 2
    ends.client.settle(), ends.server.settle()
    ends.assert_equal_caches()
    assert 3 not in ends.client._changes[Phase.HEAD_UP].cache


def test_ends_that_have_drifted_apart_are_found_out(model: Model) -> None:
    ends = Ends(model("llama"), changes="int2")
    ends.cross((0, 1), ends.hidden((0, 1), 0.0))
    cache = ends.server._changes[Phase.HEAD_UP].cache
    cache.put(1, cache.get([1]) + 0.01)
    with pytest.raises(AppError, match="CL-1313"):
        ends.cross((0, 1), ends.hidden((0, 1), 0.0))
    forgetful = Ends(model("llama"), changes="int2")
    forgetful.cross((0, 1), forgetful.hidden((0, 1), 0.0))
    forgetful.server._changes[Phase.HEAD_UP].cache.clear()
    with pytest.raises(AppError, match="CL-1313"):
        forgetful.cross((0, 1), forgetful.hidden((0, 1), 0.0))


def test_a_cache_shows_the_last_complete_step_to_a_checkpoint_in_the_middle_of_one() -> None:
    cache = RowCache(2, torch.bfloat16, limit=1000)
    cache.put(7, torch.ones(3, 2))
    cache.settle()
    cache.put(7, torch.zeros(3, 2))
    cache.put(8, torch.zeros(1, 2))
    state = cache.state()
    assert state["rows"].tolist() == [7]
    assert torch.equal(state["values"], torch.ones(3, 2, dtype=torch.bfloat16))
    again = RowCache(2, torch.bfloat16, limit=1000)
    again.restore(state)
    assert torch.equal(again.get([7]), state["values"])
    cache.settle()
    assert cache.state()["rows"].tolist() == [7, 8]


def test_leaving_padding_out_changes_no_bit(model: Model, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", run_config(model("llama")))
    short = trained(tmp_path / "short", run_config(model("llama"), wire={"skip_padding": True}))
    assert_same(whole, short)
    assert short[0].bytes["uplink"] < whole[0].bytes["uplink"]


@pytest.mark.parametrize("more", [{}, {"changes": "ternary", "cache_on": "disk"}])
def test_a_repeated_low_bit_run_gives_the_same_bits(model: Model, tmp_path: Path, more: dict[str, Any]) -> None:
    config = run_config(model("llama"), wire={**LOW_BIT, **more}, training={"micro_batches": 2})
    assert_same(trained(tmp_path / "1", config), trained(tmp_path / "2", config))


def test_a_stopped_run_goes_on_with_its_caches_as_if_it_had_never_stopped(model: Model, tmp_path: Path) -> None:
    config = run_config(model("llama"), wire={**LOW_BIT, "changes": "int2"}, training={"steps": 12, "micro_batches": 2})
    Pair(config, tmp_path / "whole").run()
    stopped = Pair(config, tmp_path / "stopped")
    stopped.on_step = lambda party, step: stopped.wanted.update(a="stop") if (party, step) == ("a", 5) else None
    assert {result.status for result in stopped.run().values()} == {"stopped"}
    resumed = Pair(config, tmp_path / "resumed", resume=tmp_path / "stopped").run()
    assert {(result.status, result.step) for result in resumed.values()} == {("done", 12)}
    for segment in SEGMENTS:
        ours, theirs = (
            load_file(tmp_path / run / segment / "adapter_model.safetensors") for run in ("resumed", "whole")
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_a_frozen_head_with_kept_activations_equals_the_one_without_and_sends_each_row_once(
    model: Model, tmp_path: Path, topology: str, micro_batches: int
) -> None:
    def config(kept: bool) -> RunConfig:
        training = {"micro_batches": micro_batches, "cache_activations": kept, "eval_every": 0}
        return run_config(model("gpt2"), lora={"train_head": False}, split={"topology": topology}, training=training)

    plain, kept = trained(tmp_path / "plain", config(False)), trained(tmp_path / "kept", config(True))
    assert_same(plain, kept)
    assert kept[0].bytes["uplink"] < plain[0].bytes["uplink"]
    unsplit = splitcore.fine_tune_unsplit(config(False), {"a": rows(10)}, out=tmp_path / "unsplit")
    assert unsplit.train_losses["a"] == pytest.approx(plain[0].train_losses["a"], abs=1e-5)
    assert verify_loads(model("gpt2"), tmp_path / "kept" / "adapter").ok


def test_after_the_first_epoch_a_frozen_head_computes_nothing_and_sends_row_numbers_alone(
    model: Model, tmp_path: Path
) -> None:
    ends = Ends(model("llama"))
    config = run_config(model("llama"), lora={"train_head": False}, training={"cache_activations": True})
    ends.client, ends.server = (Crossings(config, "a", Clock(), width=32, holds=holds) for holds in (False, True))
    hidden_BLD = ends.hidden((0, 3, 5), 0.0)
    first_BLD, size = ends.cross((0, 3, 5), hidden_BLD)
    again_BLD, later = ends.cross((0, 3, 5), torch.zeros_like(hidden_BLD))
    assert size == (3 + 6 + 4) * 32 * 4
    assert later == 0
    assert torch.equal(first_BLD, again_BLD)
    mask_BL = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    place = Place(0, 0, mask_BL, (0, 5))
    assert ends.client.needed(place) == [False, False]
    assert list(ends.client.told(place)) == ["rows"]


def test_a_trained_head_cannot_be_kept(model: Model) -> None:
    with pytest.raises(AppError, match=r"train_head"):
        run_config(model("llama"), training={"cache_activations": True})
