"""The half's own process reviews its contract again before it loads anything, whoever wrote its folder."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processes.fork_server import ForkServer
from splitcore.errors import AppError
from workers.approvals import ApprovalBook
from workers.contracts import Assignment
from workers.jobs import run
from workers.jobs.folder import JobFolder
from workers.jobs.kinds.verify.bound import TIMES
from workers.jobs.opening import opened
from workers.jobs.supervise import HALF, half_command
from workers.jobs.tests.door import Door, code_of
from workers.ledger.frames import TELL_SECONDS
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.tests.support import assignment_for, contract_for, enrolled_home, equip, wait_for

WATCHED = """
import sys
from workers.jobs.run import main
status = main(sys.argv[1:])
sys.exit(99 if "torch" in sys.modules else status)
"""


@pytest.fixture
def door(tmp_path: Path) -> Door:
    home = enrolled_home(tmp_path / "home")
    equip(home, model_folder=tmp_path / "no-model")
    return Door(home, Spool(home.spool_file))


def changed(door: Door, change: Callable[[dict[str, Any]], None], **assignment: Any) -> Assignment:
    contract = copy.deepcopy(contract_for(door.home))
    change(contract)
    return assignment_for(contract, **assignment)


def vanilla(contract: dict[str, Any]) -> None:
    contract["config"]["split"] = {"topology": "vanilla", "head_layers": 0}


WAYS: dict[str, tuple[Callable[[Door], JobFolder], str]] = {
    "labels leave": (lambda door: door.open(changed(door, vanilla)), "CL-1509"),
    "another contract than the admitted one": (
        lambda door: door.open(changed(door, lambda c: c.update(run_name="other")), admitted=door.lawful()),
        "CL-1425",
    ),
    "another party than the admitted one": (
        lambda door: door.open(door.lawful(party="gpu", role="server"), admitted=door.lawful()),
        "CL-1425",
    ),
    "another worker's part": (lambda door: door.open(door.lawful(party="gpu", role="server")), "CL-1425"),
    "another certificate for this worker": (
        lambda door: door.open(changed(door, lambda c: c["participants"][0].update(fingerprint="11" * 32))),
        "CL-1425",
    ),
    "a compute worker that nobody here trusts": (
        lambda door: door.open(changed(door, lambda c: c["participants"][1].update(fingerprint="13" * 32))),
        "CL-1509",
    ),
    "what was never admitted": (lambda door: door.write_spec(door.lawful()), "CL-1425"),
}


@pytest.mark.promise(12, figure="again in the half's own process")
@pytest.mark.parametrize("name", WAYS)
def test_the_half_refuses(door: Door, name: str) -> None:
    prepare, code = WAYS[name]
    folder = prepare(door)
    assert run.main([str(folder.path)]) == 1
    assert code_of(folder) == code


def test_the_half_refuses_what_the_policy_forbids_by_now(door: Door) -> None:
    folder = door.open(door.lawful())
    door.home.policy_file.write_text(SitePolicy(max_steps=1).to_yaml())
    assert run.main([str(folder.path)]) == 1
    assert code_of(folder) == "CL-1509"


def test_a_budget_that_is_written_while_a_half_runs_holds_for_it(door: Door) -> None:
    setting = opened(door.open(door.lawful()))
    account = setting.frames.account("gpu")

    def is_refused() -> bool:
        try:
            account.admit(1_001)
        except AppError as error:
            return error.code == "CL-1429"
        return False

    with setting.frames:
        assert not is_refused(), "nothing was written"
        door.home.policy_file.write_text(SitePolicy(egress_bytes_per_run=1_000).to_yaml())
        wait_for(is_refused, what="the budget")
        door.home.policy_file.write_text("egress_bytes_per_run: [")
        time.sleep(2 * TELL_SECONDS)
        assert is_refused(), "a policy that cannot be read lifts nothing"


def test_the_half_starts_nothing_that_its_site_has_not_approved(door: Door) -> None:
    folder = door.open(door.lawful())
    door.home.policy_file.write_text(SitePolicy(approve="local").to_yaml())
    assert run.main([str(folder.path)]) == 1
    assert code_of(folder) == "CL-1426"
    with ApprovalBook.changing(door.home) as book:
        book.add(door.lawful().contract_hash, by="console")
    run.main([str(folder.path)])
    assert code_of(folder) not in ("CL-1425", "CL-1426", "CL-1509"), "it fails later, for want of a model"


def test_the_real_process_refuses_and_has_loaded_no_torch(door: Door) -> None:
    folder = door.open(changed(door, vanilla))
    done = subprocess.run([sys.executable, "-c", WATCHED, str(folder.path)], timeout=60, check=False)
    assert done.returncode == 1
    assert code_of(folder) == "CL-1509"


def test_the_real_process_goes_on_to_the_model_with_what_was_admitted(door: Door) -> None:
    folder = door.open(door.lawful())
    done = subprocess.run(half_command(folder), timeout=120, check=False)
    assert done.returncode == 1
    assert code_of(folder) not in ("CL-1425", "CL-1509"), "it fails later, for want of a model"


def test_a_half_that_is_forked_from_a_warm_process_refuses_too(door: Door, tmp_path: Path) -> None:
    folder = door.open(changed(door, vanilla))
    warm = ForkServer(HALF, log=tmp_path / "warm.log")
    try:
        half = warm.start([str(folder.path)], log=folder.log)
        assert half is not None
        assert half.wait() == 1
    finally:
        warm.close()
    assert code_of(folder) == "CL-1509"


def test_a_site_measures_a_contract_s_adapter_and_what_two_resumptions_make_of_it_and_no_other_one(door: Door) -> None:
    """A run that failed in its last phase and was resumed ends with other bytes."""
    *lawful, other = [door.check_of(f"adp_{number}", f"{number}a" * 32) for number in range(TIMES + 1)]
    for check in lawful:
        run.main([str(door.open(check).path)])
        assert code_of(door.folder(check)) != "CL-1428"
    assert run.main([str(door.open(other).path)]) == 1
    assert code_of(door.folder(other)) == "CL-1428"
    run.main([str(door.open(lawful[0]).path)])
    assert code_of(door.folder(lawful[0])) != "CL-1428", "the check of the same adapter may be made again"
