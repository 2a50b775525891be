"""The half's own process reviews its contract again before it loads anything, whoever wrote its folder."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workers.agent.spool import Spool
from workers.contracts import Assignment, Desired
from workers.jobs import run
from workers.jobs.folder import JobFolder, JobSpec
from workers.jobs.warm import half_command
from workers.policy import SitePolicy
from workers.settings import WorkerHome
from workers.tests.support import assignment_for, contract_for, enrolled_home, equip

JOB = "prt_1-train"
WATCHED = """
import sys
from workers.jobs.run import main
status = main(sys.argv[1:])
sys.exit(99 if "torch" in sys.modules else status)
"""


@dataclass
class Door:
    """One job's folder as agent and supervisor leave it for the half."""

    home: WorkerHome
    folder: JobFolder
    spool: Spool

    def open(self, assignment: Assignment, *, admitted: Assignment | None = None) -> None:
        """Prepare the job; `admitted` is what the agent let in, the same if not said otherwise."""
        known = admitted or assignment
        self.folder.create()
        self.folder.write_desired(Desired.RUNNING)
        self.spool.job_rung(
            job_id=JOB,
            run_id="run_1",
            participant_id="prt_1",
            kind=known.kind,
            contract_hash=known.contract_hash,
            party=known.party,
        )
        self.spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
        self.folder.write_spec(JobSpec(job_id=JOB, home=str(self.home.root), attempt=1, assignment=assignment))

    def code(self) -> str:
        """The number with which the job ended."""
        result = self.folder.result()
        assert result is not None
        assert result.error is not None
        return result.error.code


@pytest.fixture
def door(tmp_path: Path) -> Door:
    home = enrolled_home(tmp_path / "home")
    equip(home, model_folder=tmp_path / "no-model")
    return Door(home, JobFolder.of(home, "run_1", JOB), Spool(home.spool_file))


def changed(door: Door, change: Callable[[dict[str, Any]], None], **assignment: Any) -> Assignment:
    contract = copy.deepcopy(contract_for(door.home))
    change(contract)
    return assignment_for(contract, **assignment)


def vanilla(contract: dict[str, Any]) -> None:
    contract["config"]["split"] = {"topology": "vanilla", "head_layers": 0}


WAYS: dict[str, tuple[Callable[[Door], None], str]] = {
    "labels leave": (lambda door: door.open(changed(door, vanilla)), "CL-1509"),
    "another contract than the admitted one": (
        lambda door: door.open(
            changed(door, lambda contract: contract.update(run_name="other")),
            admitted=assignment_for(contract_for(door.home)),
        ),
        "CL-1425",
    ),
    "another party than the admitted one": (
        lambda door: door.open(
            assignment_for(contract_for(door.home), party="gpu", role="server"),
            admitted=assignment_for(contract_for(door.home)),
        ),
        "CL-1425",
    ),
    "another worker's part": (
        lambda door: door.open(assignment_for(contract_for(door.home), party="gpu", role="server")),
        "CL-1425",
    ),
    "another certificate for this worker": (
        lambda door: door.open(changed(door, lambda c: c["participants"][0].update(fingerprint="11" * 32))),
        "CL-1425",
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_half_refuses(door: Door, name: str) -> None:
    prepare, code = WAYS[name]
    prepare(door)
    assert run.main([str(door.folder.path)]) == 1
    assert door.code() == code


def test_the_half_refuses_what_was_never_admitted(door: Door) -> None:
    assignment = assignment_for(contract_for(door.home))
    door.folder.create()
    door.folder.write_spec(JobSpec(job_id=JOB, home=str(door.home.root), attempt=1, assignment=assignment))
    assert run.main([str(door.folder.path)]) == 1
    assert door.code() == "CL-1425"


def test_the_half_refuses_what_the_policy_forbids_by_now(door: Door) -> None:
    door.open(assignment_for(contract_for(door.home)))
    door.home.policy_file.write_text(SitePolicy(max_steps=1).to_yaml())
    assert run.main([str(door.folder.path)]) == 1
    assert door.code() == "CL-1509"


def test_the_real_process_refuses_and_has_loaded_no_torch(door: Door) -> None:
    door.open(changed(door, vanilla))
    done = subprocess.run([sys.executable, "-c", WATCHED, str(door.folder.path)], timeout=60, check=False)
    assert done.returncode == 1
    assert door.code() == "CL-1509"


def test_the_real_process_goes_on_to_the_model_with_what_was_admitted(door: Door) -> None:
    door.open(assignment_for(contract_for(door.home)))
    done = subprocess.run(half_command(door.folder), timeout=120, check=False)
    assert done.returncode == 1
    assert door.code() not in ("CL-1425", "CL-1509"), "it fails later, at the model that this test does not have"
