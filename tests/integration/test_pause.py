"""A run of the real workers, held and let go: no step passes while it is paused, and none is lost."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from demo.launch.runs import approve_by_all, launch
from demo.launch.stage import DATA_PARTIES
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.integration
TRAINING = {"steps": 400, "batch_size": 4, "micro_batches": 1, "warmup": 0, "eval_every": 0}
HELD_SECONDS = 3.0


def test_paused_run_stands_still_and_goes_on_when_resumed_even_after_a_worker_was_restarted(
    stack: Stack,
) -> None:
    rest = stack.stage.parties["clinic"].rest
    run_id = launch(stack.stage, name="Held run", trains=DATA_PARTIES, training=TRAINING, evaluate=False)
    approve_by_all(stack.stage, run_id)

    def run() -> dict[str, Any]:
        found: dict[str, Any] = rest.get(f"/runs/{run_id}")
        assert found["state"] not in ("failed", "done"), found.get("failure")
        return found

    wait_for(lambda: run()["step"] >= 3, seconds=120, what="the third step")
    rest.post(f"/runs/{run_id}/pause")
    assert run()["state"] == "paused"
    wait_for(lambda: {part["phase"] for part in run()["participants"]} == {"paused"}, seconds=30, what="the pause")
    held = steps_of(run())
    deadline = time.monotonic() + HELD_SECONDS
    while time.monotonic() < deadline:
        seen = run()
        assert (seen["state"], steps_of(seen)) == ("paused", held)
        assert {part["phase"] for part in seen["participants"]} == {"paused"}
    assert max(held.values()) - min(held.values()) <= 1, "no half is ahead by more than the step that it is in"

    rest.post(f"/runs/{run_id}/resume")
    assert run()["state"] == "training"
    wait_for(lambda: min(steps_of(run()).values()) >= max(held.values()) + 3, seconds=60, what="three more steps")
    assert {part["phase"] for part in run()["participants"]} == {"training"}
    assert {part["attempt"] for part in run()["participants"]} == {1}, "the very processes went on"

    rest.post(f"/runs/{run_id}/pause")
    wait_for(lambda: {part["phase"] for part in run()["participants"]} == {"paused"}, seconds=60, what="the pause")
    held = steps_of(run())
    stack.stop_site("bank")  # its operator restarts the worker meanwhile
    stack.groups.start_worker("bank")
    wait_for(lambda: {part["phase"] for part in run()["participants"]} == {"waiting"}, seconds=120, what="the ends")
    assert run()["state"] == "paused"
    rest.post(f"/runs/{run_id}/resume")
    wait_for(lambda: min(steps_of(run()).values()) >= max(held.values()) + 3, seconds=120, what="three more steps")
    assert {part["attempt"] for part in run()["participants"]} == {2}, "every part was taken up again"
    agreed = json.loads(run()["contract"])["config"]
    assert agreed["privacy"]["sums"] == "masked", "under new keys, as every sum of several organisations"
    rest.post(f"/runs/{run_id}/stop")
    wait_for(lambda: run()["state"] == "stopped", seconds=30, what="the stop")


def steps_of(run: dict[str, Any]) -> dict[str, int]:
    """Each participant's step."""
    return {part["party"]: part["step"] for part in run["participants"]}
