"""A half that gets no more memory, in a real run of two workers: a code, a remedy, and what was saved is there."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from splitcore.checkpoints.files import Checkpoints, Owner, checkpoint_steps
from splitcore.errors import CATALOGUE
from workers.contracts import Desired
from workers.jobs.tests.pair import Job, make_pair
from workers.tests.support import wait_for

MIB = 1 << 20
LEFT = 48 * MIB  # room for a frame and for threads; a step of this run keeps several times that for its gradients
ENDLESS = {"steps": 2000, "batch_size": 16, "micro_batches": 1, "eval_every": 0, "checkpoint_every": 1, "warmup": 0}
# blocks from this size on are mapped and given back one by one, as the large ones of a real model are
LARGE = {"MALLOC_MMAP_THRESHOLD_": str(1 * MIB)}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set from outside, which Linux alone lets")
@pytest.mark.promise(30, figure="too little memory: CL-1521, the newest checkpoint verifies")
def test_a_half_without_memory_says_so_and_its_newest_checkpoint_is_whole(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, training=ENDLESS)
    halves = [pair.server.start(**LARGE), pair.client.start()]
    try:
        pair.introduce()
        wait_for(lambda: pair.server.steps() >= 1 or ended(halves), seconds=150, what="a step")
        pair.desire(Desired.PAUSED)  # at rest it holds nothing of a step
        wait_for(lambda: pair.server.phase() == "paused" or ended(halves), seconds=60, what="the pause")
        assert not ended(halves)
        used = psutil.Process(halves[0].pid).memory_info().vms
        resource.prlimit(halves[0].pid, resource.RLIMIT_AS, (used + LEFT, resource.RLIM_INFINITY))
        pair.desire(Desired.RUNNING)
        wait_for(lambda: all(half.poll() is not None for half in halves), seconds=150, what="the end of both halves")
        assert [half.returncode for half in halves] == [1, 1]
    finally:
        for half in halves:
            half.kill()
            half.wait()
    assert "DefaultCPUAllocator" in pair.server.folder.log.read_text(), "torch's own allocator had no more"
    told = error_of(pair.server)
    assert (told["code"], told["remedy"]) == ("CL-1521", CATALOGUE["CL-1521"].remedy)
    other = error_of(pair.client)  # it does not pass for the cause, and names what was
    assert other["code"] == "CL-1329"
    assert "CL-1521" in other["message"]
    newest = checkpoint_steps(pair.server.folder.checkpoints)[-1]
    state = json.loads((pair.server.folder.checkpoints / f"step-{newest:08d}" / "state.json").read_text())
    assert newest in Checkpoints(pair.server.folder.checkpoints, Owner(**state["owner"]), attempt=2).held()


def ended(halves: list[subprocess.Popen[bytes]]) -> bool:
    return any(half.poll() is not None for half in halves)


def error_of(job: Job) -> dict[str, str]:
    """With what a half failed."""
    result = job.folder.result()
    assert result is not None
    assert result.error is not None
    return dict(result.error.model_dump())
