"""The real hub with real workers: a run to its verified adapter through a killed hub, a stop, a kill, no orphans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.live import LiveSystem, live_system
from tests.stack import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    with live_system(tmp_path_factory.mktemp("live")) as running:
        yield running


def reach(system: LiveSystem, run: str, *states: str, seconds: float = 120) -> dict[str, Any]:
    """Wait until a run is in one of the states."""

    ended = wait_for(
        lambda: word if (word := system.state_word(run)) in {*states, "failed", "stopped", "declined"} else None,
        seconds=seconds,
        what=f"the run's state {states}",
    )
    found = system.state(run)
    assert ended in states, found
    return found


def parts_of(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["role"]: part for part in state["parts"]}


def hub_web_process(system: LiveSystem) -> psutil.Process:
    serve = psutil.Process(system.groups.children["hub"].pid)
    return next(child for child in serve.children() if any("uvicorn" in word for word in child.cmdline()))


def test_the_doctor_finds_nothing_wrong(system: LiveSystem) -> None:
    checks = json.loads(system.worker("compute", "doctor", "--json"))
    assert [check for check in checks if check["status"] == "failed"] == []
    [worker] = [row for row in system.drive("workers") if row["name"] == "gpu-worker"]
    told = wait_for(
        lambda: next(row["checks"] for row in system.drive("workers") if row["id"] == worker["id"]),
        what="the checks on the hub",
    )
    assert {check["name"] for check in told} == {check["name"] for check in checks}


def test_a_run_survives_a_killed_hub_and_ends_with_a_verified_adapter(system: LiveSystem) -> None:
    run = system.launch(steps=30)
    reach(system, run, "training")
    hub_web_process(system).kill()
    done = reach(system, run, "done")
    parts = parts_of(done)
    assert {part["attempt"] for part in parts.values()} == {1}
    assert done["step"] == 30
    [adapter] = done["adapters"]
    assert adapter["state"] == "ready"
    assert {check["status"] for check in adapter["checks"]} == {"ok"}
    [evaluation] = adapter["evaluation"].values()
    assert evaluation["rows"] == 24
    assert done["summary"]["loss_after"] < done["summary"]["loss_before"]
    assert parts["client"]["last_seq"] > 30  # every step arrived, none twice: the hub's numbers have no gap


def test_a_stop_ends_every_process_and_is_confirmed(system: LiveSystem) -> None:
    run = system.launch(steps=5000)
    reach(system, run, "training")
    halves = system.halves("clinic") + system.halves("compute")
    assert len(halves) == 2
    system.drive("stop", run=run)
    wait_for(lambda: not any(half.is_running() for half in halves), seconds=5, what="the halves' end")
    state = reach(system, run, "stopped", seconds=20)
    assert {part["outcome"] for part in state["parts"]} == {"stopped"}
    folder = next((system.groups.home("clinic") / "jobs" / run).iterdir())
    assert (folder / "out" / "checkpoint" / "state.json").exists()


def test_a_killed_half_fails_the_run_with_its_cause_and_its_owner(system: LiveSystem) -> None:
    run = system.launch(steps=5000)
    reach(system, run, "training")
    [half] = system.halves("clinic")
    half.kill()
    state = reach(system, run, "failed", seconds=30)
    assert state["failure"]["code"] == "CL-1520"
    parts = parts_of(state)
    assert parts["client"]["error"]["code"] == "CL-1520"
    wait_for(lambda: not system.halves("compute"), seconds=20, what="the other half's end")
    wait_for(lambda: parts_of(system.state(run))["server"]["outcome"] == "stopped", seconds=20, what="the other's stop")


def test_a_base_model_that_was_changed_is_noticed_and_the_owner_named(system: LiveSystem) -> None:
    weights = system.model_folder("compute") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1000:] = bytes(1000)  # a piece of the last tensor
    weights.write_bytes(content)
    run = system.launch(steps=5)
    state = reach(system, run, "failed", seconds=60)
    assert state["failure"]["code"] == "CL-1104"
    assert parts_of(state)["server"]["error"]["code"] == "CL-1104"


def test_a_killed_worker_leaves_no_orphan(system: LiveSystem) -> None:
    before = system.processes("clinic")
    assert len(before) >= 3  # agent, queue, Celery
    agent = system.groups.children.pop("clinic")
    agent.kill()
    agent.wait()
    wait_for(lambda: not system.processes("clinic"), seconds=5, what="the end of the worker's processes")
    log = Path(system.groups.log("clinic")).read_text(errors="replace")
    assert "Traceback" not in log
