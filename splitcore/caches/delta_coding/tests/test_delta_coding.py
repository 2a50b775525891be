"""Changes of activations: both ends keep the same, and what drifts is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from splitcore.boundary.coding import Format
from splitcore.boundary.finite import Finite
from splitcore.boundary.stages import At
from splitcore.caches.choice import CachePlace
from splitcore.caches.delta_coding.coding import DeltaCoding
from splitcore.caches.tests.conversation import LOW_BIT, Ends, Model
from splitcore.errors import AppError
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_stop_and_resume import Pair, assert_resumes_as_whole
from splitcore.wire.protocol.limits import ABS_MAX
from splitcore.wire.protocol.messages import Phase


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
    for changes in (*ends.client._of_rows.values(), *ends.server._of_rows.values()):
        changes.cache._limit = 12 * 32 * 2  # twelve tokens: rows 0, 1 and 2 find room, 3 does not
    sizes = [ends.cross((0, 1, 2, 3), ends.hidden((0, 1, 2, 3), 0.01))[1] for _ in range(2)]
    assert sizes[1] < sizes[0]
    assert ends.client._of_rows[Phase.HEAD_UP].cache.nbytes == 12 * 32 * 2
    ends.client.settle(), ends.server.settle()
    ends.assert_equal_caches()
    assert 3 not in ends.client._of_rows[Phase.HEAD_UP].cache


def test_ends_that_have_drifted_apart_are_found_out(model: Model) -> None:
    ends = Ends(model("llama"), changes="int2")
    ends.cross((0, 1), ends.hidden((0, 1), 0.0))
    cache = ends.server._of_rows[Phase.HEAD_UP].cache
    cache.put(1, cache.get([1]) + 0.01)
    with pytest.raises(AppError, match="CL-1313"):
        ends.cross((0, 1), ends.hidden((0, 1), 0.0))
    forgetful = Ends(model("llama"), changes="int2")
    forgetful.cross((0, 1), forgetful.hidden((0, 1), 0.0))
    forgetful.server._of_rows[Phase.HEAD_UP].cache.clear()
    with pytest.raises(AppError, match="CL-1313"):
        forgetful.cross((0, 1), forgetful.hidden((0, 1), 0.0))


@pytest.mark.parametrize("codec", ["int4", "ternary"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_changes_within_the_bound_do_not_add_up_beyond_it(codec: str, sign: float) -> None:
    place = CachePlace(Format("bf16"), Finite(), width=32, limit=1 << 20, folder=None, holds=True)
    sender, receiver = DeltaCoding(place, codec), DeltaCoding(place, codec)
    at = At(0, 0, torch.ones(1, 4, dtype=torch.int64), (7,))
    for visit in range(1, 7):
        beyond_ND = torch.full((4, 32), sign * 0.9 * ABS_MAX * visit)
        got_ND = receiver.receive(sender.send(beyond_ND, at), at, "cpu")
        assert float(got_ND.abs().max()) <= ABS_MAX
        assert torch.equal(sender.cache.get([7]), receiver.cache.get([7]))
    assert float((got_ND * sign).min()) == ABS_MAX, "as near to what was meant as the bound lets it be"


def test_a_stopped_run_goes_on_with_its_caches_as_if_it_had_never_stopped(model: Model, tmp_path: Path) -> None:
    config = run_config(model("llama"), wire={**LOW_BIT, "changes": "int2"}, training={"steps": 12, "micro_batches": 2})
    Pair(config, tmp_path / "whole").run()
    stopped = Pair(config, tmp_path / "stopped")
    stopped.on_step = lambda party, step: stopped.wanted.update(a="stop") if (party, step) == ("a", 5) else None
    assert {result.status for result in stopped.run().values()} == {"stopped"}
    assert_resumes_as_whole(config, tmp_path)
