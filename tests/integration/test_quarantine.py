"""A worker that comes under suspicion in the middle of a run of the real system: nothing more is exchanged with it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.drills import ENDLESS, PATIENCE, halves, page_of, reach, reach_step, run_of, start_run
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.integration
SITES = ("clinic", "bank", "compute")
STILL_WITHIN = 5.0  # seconds from the click until no half does anything any more
HELD_SECONDS = 4.0


def cpu_of(processes: list[Any]) -> float:
    """Processor seconds that the processes have used."""
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


def test_a_compute_worker_in_quarantine_gets_no_more_tensors_and_its_release_lets_the_run_go_on(stack: Stack) -> None:
    stage, suspect = stack.stage, stack.stage.parties["compute"]
    worker = stage.workers["compute"]
    run = start_run(stage, "Drill: quarantine", steps=ENDLESS)
    reach_step(stage, run, 3)
    running = halves(stack, *SITES)
    assert len(running) == 3

    clicked = time.monotonic()
    suspect.rest.post(f"/workers/{worker}/quarantine")
    held = run_of(stage, run)
    assert (held["state"], held["failure"]["code"]) == ("paused", "CL-1512")

    def told() -> bool:
        """Whether the halves of all sites were told to pause: the suspect's by its own agent, whom the hub refuses."""
        return all(
            [path.read_text().strip() for path in (stack.groups.home(key) / "jobs" / run).glob("*/desired")]
            == ["paused"]
            for key in SITES
        )

    wait_for(told, seconds=STILL_WITHIN, what="the pause at every site")

    def data_halves_stand() -> bool:
        parts = {part["worker"]: part["phase"] for part in run_of(stage, run)["participants"]}
        return {parts[stage.workers[key]] for key in ("clinic", "bank")} == {"paused"}

    wait_for(data_halves_stand, seconds=STILL_WITHIN, what="the pause of the data halves")
    print(f"quarantine: every half stood still after {time.monotonic() - clicked:.2f} s")
    step, used = run_of(stage, run)["step"], cpu_of(running)
    deadline = time.monotonic() + HELD_SECONDS
    while time.monotonic() < deadline:
        assert run_of(stage, run)["step"] == step
    assert cpu_of(running) - used < HELD_SECONDS / 2, "the halves work on while the run is held"
    page = page_of(stack, stage.parties["clinic"], f"/runs/{run}")
    assert "is in quarantine" in page

    suspect.rest.post(f"/workers/{worker}/release")
    reach(stage, run, "training")
    reach_step(stage, run, step + 3)
    assert {part["attempt"] for part in run_of(stage, run)["participants"]} == {1}, "the very processes went on"
    stage.parties["clinic"].rest.post(f"/runs/{run}/stop")
    wait_for(lambda: run_of(stage, run)["state"] == "stopped", seconds=PATIENCE, what="the stop")
