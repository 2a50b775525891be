"""Halves are killed and a run is stopped and resumed, by the real workers: it ends as if none of it had been."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from demo.launch.runs import approve_by_all, launch
from tests.integration.drills import ENDED, event_of, halves, reach, reach_step, records_of, run_of
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.integration
STEPS = 60
STOPPED_AFTER = 35
TRAINING = {
    "steps": STEPS, "batch_size": 4, "micro_batches": 1, "warmup": 0, "eval_every": 0, "checkpoint_every": 5,
}  # fmt: skip


def trained(stack: Stack, name: str) -> str:
    """Launch a run of the clinic's rows alone, approved by all."""
    run = launch(stack.stage, name=name, trains=("clinic",), training=TRAINING, evaluate=False)
    approve_by_all(stack.stage, run)
    return run


def weights(stack: Stack, run: str, folder: Path) -> dict[str, Any]:
    """The adapter's tensors as anybody downloads them."""
    rest = stack.stage.parties["clinic"].rest
    [adapter] = [one for one in rest.get("/adapters")["items"] if one["run"] == run]
    rest.download(f"/adapters/{adapter['id']}/download", folder / f"{run}.zip")
    with zipfile.ZipFile(folder / f"{run}.zip") as archive:
        [member] = [name for name in archive.namelist() if name.endswith("adapter_model.safetensors")]
        archive.extract(member, folder / run)
    return dict(load_file(folder / run / member))


@pytest.mark.promise(21)
@pytest.mark.promise(29, figure="stopped and resumed: difference 0.0")
def test_a_run_survives_the_death_of_each_half_and_a_stop_and_ends_with_the_very_same_adapter(
    stack: Stack, tmp_path: Path
) -> None:
    whole = trained(stack, "Recovery: undisturbed")
    reach(stack.stage, whole, "done")
    run = trained(stack, "Recovery: two deaths and a stop")
    for attempt, (site, step) in enumerate((("clinic", 8), ("compute", 20)), start=1):
        reach_step(stack.stage, run, step)
        [half] = halves(stack, site)
        half.kill()
        wait_for(lambda expected=attempt: recoveries(stack, run) >= expected, what="the recovery")
        wait_for(lambda: run_of(stack.stage, run)["state"] in {"training"} | ENDED, what="the run's going on")
    assert run_of(stack.stage, run)["step"] < STOPPED_AFTER, "it is stopped in its middle"
    reach_step(stack.stage, run, STOPPED_AFTER)
    stack.stage.parties["clinic"].rest.post(f"/runs/{run}/stop")
    reach(stack.stage, run, "stopped")
    stack.stage.parties["clinic"].rest.post(f"/runs/{run}/resume")
    done = reach(stack.stage, run, "done")

    records = records_of(stack.stage, run)
    assert event_of(records, "run.recovering")["payload"]["error"]["code"] in ("CL-1520", "CL-1530")
    assert recoveries(stack, run) == 3, "two deaths and the resumption"
    assert {part["attempt"] for part in done["participants"]} == {4}
    resumed = [one["step"] for one in records if one["payload"].get("name") == "checkpoint.resumed"]
    assert len(resumed) == 6, "both halves, three times"
    assert max(resumed) >= STOPPED_AFTER, "the stop has saved the step that it met"
    steps = Counter(
        one["step"] for one in records if one["kind"] == "metric" and one["party"] == done["participants"][0]["party"]
    )
    assert set(steps) == set(range(1, STEPS + 1))
    lines = [one for one in records if one["kind"] == "log"]
    assert {one["organisation_id"] for one in lines} == {own_organisation(stack)}, "a partner's lines stay with it"
    told = [one["payload"]["message"] for one in lines]
    for words in ("Base model ready:", "Dataset loaded:", "Connected to the compute", "Checkpoint saved", "Recovered:"):
        assert any(words in line for line in told), f"no line says {words!r}: {told}"
    curve = stack.stage.parties["clinic"].rest.get(f"/runs/{run}/snapshot")["series"]
    for points in curve.values():
        assert [point[0] for point in points["seconds"]] == list(range(1, STEPS + 1)), "each step once"
    one, other = weights(stack, whole, tmp_path), weights(stack, run, tmp_path)
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    for key in ("clinic", "compute"):
        jobs = stack.groups.home(key) / "jobs" / run
        wait_for(lambda folder=jobs: not list(folder.glob("*/checkpoints/*")), what="the end of the checkpoints")


def own_organisation(stack: Stack) -> str:
    """The organisation of whoever reads the records."""
    return str(stack.stage.parties["clinic"].rest.get("/me")["organisation"])


def recoveries(stack: Stack, run: str) -> int:
    """How often the run was taken up again."""
    names = [one["payload"].get("name") for one in records_of(stack.stage, run) if one["kind"] == "event"]
    return names.count("run.recovering")
