"""The kinds of jobs: one table at both ends, no torch, and nothing else to touch for a new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from splitcore.errors import AppError
from workers.contracts import (
    JOBS,
    PROTOCOL_VERSION,
    AdapterSpec,
    Assignment,
    Exit,
    JobForm,
    Message,
    exit_form,
    spec_read,
)
from workers.errors import error_info
from workers.jobs import run
from workers.jobs.folder import JobFolder, JobResult, job_id_of
from workers.jobs.kinds.kind import JobKind
from workers.jobs.kinds.registry import KINDS, is_steered, kind_of
from workers.jobs.setting import JobSetting
from workers.jobs.supervise import supervise
from workers.jobs.tests.door import Door
from workers.outbox.sender import BODIES
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.processes import start
from workers.settings import WorkerHome
from workers.tests.support import assignment_for, contract_for, enrolled_home, equip

ADAPTER = {
    "adapter_id": "adp_1",
    "adapter_url": "/api/worker/v1/runs/run_1/adapters/adp_1",
    "adapter_sha256": "ab" * 32,
}


@pytest.fixture
def door(tmp_path: Path) -> Door:
    home = enrolled_home(tmp_path / "home")
    equip(home, model_folder=tmp_path / "no-model")
    return Door(home, Spool(home.spool_file))


def asked(kind: str, **changes: object) -> Assignment:
    return assignment_for("{}", kind=kind, **changes)


def test_worker_has_every_kind_of_the_contracts_and_no_other() -> None:
    assert set(KINDS) == set(JOBS)
    assert all(name == kind.name for name, kind in KINDS.items())


def test_registry_loads_neither_torch_nor_django() -> None:
    code = "import sys, workers.jobs.kinds.registry; sys.exit(len({'torch', 'peft', 'django'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_kind_of_a_newer_hub_is_refused_with_the_version_that_it_needs() -> None:
    with pytest.raises(AppError) as caught:
        kind_of(asked("rehearse", kind_since=PROTOCOL_VERSION + 2))
    assert caught.value.code == "CL-1525"
    assert f"protocol {PROTOCOL_VERSION + 2}" in caught.value.message


@pytest.mark.parametrize("since", [0, PROTOCOL_VERSION])
def test_kind_that_no_version_knows_is_refused(since: int) -> None:
    with pytest.raises(AppError) as caught:
        kind_of(asked("shell", kind_since=since))
    assert caught.value.code == "CL-1425"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("train", ADAPTER),
        ("train", {"role": "evaluator"}),
        ("verify", {}),
        ("evaluate", ADAPTER | {"adapter_sha256": "x"}),
        ("evaluate", ADAPTER | {"adapter_url": "/api/worker/v1/runs/run_2/adapters/adp_1"}),
        ("evaluate", ADAPTER | {"server_address": "gpu.example:9100"}),
        ("verify", ADAPTER | {"client_attempts": {"a": 1}}),
        ("train", {"spec": {"factor": 3}}),
        ("train", {"spec": {"server_address": "gpu.example:9100"}}),
    ],
    ids=[
        "train-adapter",
        "train-evaluator",
        "verify-nothing",
        "odd-hash",
        "other-run",
        "with-peer",
        "with-attempts",
        "with-a-spec",
        "told-twice",
    ],
)
def test_job_that_is_told_what_its_kind_does_not_take_is_refused(kind: str, changes: dict[str, object]) -> None:
    with pytest.raises(AppError) as caught:
        KINDS[kind].rule(asked(kind, **changes), SitePolicy())
    assert caught.value.code == "CL-1425"


@pytest.mark.parametrize("told", [{}, {"factor": 0}, {"factor": 3, "rows": 9}], ids=["nothing", "bounds", "more"])
def test_what_a_later_kind_is_told_is_as_strict(told: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "count", JobForm(CountSpec, PROTOCOL_VERSION))
    with pytest.raises(AppError) as caught:
        Count().rule(asked("count", spec=told), SitePolicy())
    assert caught.value.code == "CL-1425"


def test_what_a_kind_is_told_is_read_in_its_own_form() -> None:
    assert spec_read(asked("verify", **ADAPTER)) == AdapterSpec(**ADAPTER)
    assert spec_read(asked("review")) is None


def test_what_a_job_is_about_tells_it_from_others_of_its_kind() -> None:
    asked_twice = [asked("audit", subject="one"), asked("audit", subject="two"), asked("verify", **ADAPTER)]
    assert [job_id_of(one).split("-", 1)[1] for one in asked_twice] == ["audit-one", "audit-two", "verify-adp_1"]


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_end_of_each_kind_is_reported_in_the_form_of_the_contracts(door: Door, kind: str) -> None:
    failed = JobResult(outcome="failed", error=error_info("CL-1520"))
    KINDS[kind].report(door.spool, asked(kind, **ADAPTER), 1, failed)
    [item] = door.spool.outbox()
    form = exit_form(item.body) if item.kind == "exit" else BODIES[item.kind]
    assert form is JOBS[kind].end
    assert form.model_validate_json(item.body)
    assert "CL-1520" in item.body


@pytest.mark.parametrize(
    ("attempt", "known", "granted"),
    [(0, 0, 0), (1, 2, 1), (2, 2, 2), (3, 2, None)],
    ids=["an-evaluator-s", "older", "newest", "never-given-out"],
)
def test_check_runs_under_an_attempt_that_its_worker_has_had(
    door: Door, attempt: int, known: int, granted: int | None
) -> None:
    check = asked("evaluate", attempt=attempt, **ADAPTER)
    folder = door.folder(check)
    assert KINDS["evaluate"].claim(door.home, folder, check, job_id="job", highest_attempt=known) == granted


def test_pause_and_budget_reach_no_job_of_a_kind_that_is_not_known_here() -> None:
    assert (is_steered("train"), is_steered("evaluate"), is_steered("rehearse")) == (True, False, False)


class CountSpec(Message):
    """What the kind that a test adds is told."""

    factor: Annotated[int, Field(ge=1, le=9)]


class Count(JobKind):
    """A kind that a test adds: it counts the layers that stay here."""

    name: ClassVar[str] = "count"

    def run(self, setting: JobSetting) -> JobResult:
        """Note the figure."""
        told = spec_read(setting.spec.assignment)
        assert isinstance(told, CountSpec)
        (setting.folder.out / "count").write_text(str(told.factor * setting.config.split.head_layers))
        return JobResult(outcome="done")

    def report(self, spool: Spool, assignment: Assignment, attempt: int, result: JobResult) -> None:
        """As a half does."""
        body = Exit(participant_id=assignment.participant_id, attempt=attempt, outcome=result.outcome)
        spool.post(run_id="run_1", participant_id="prt_1", kind="exit", attempt=attempt, body=body)


def in_this_process(_home: WorkerHome, folder: JobFolder) -> subprocess.Popen[bytes]:
    """The job's work here, where the table has the new kind; what the supervisor watches has nothing left to do."""
    assert run.main([str(folder.path)]) == 0
    return start([sys.executable, "-c", ""], log=folder.log)


def test_new_kind_needs_its_class_and_one_line_of_each_table(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reviewed, supervised, run and reported by what is there already."""
    monkeypatch.setitem(JOBS, "count", JobForm(CountSpec, PROTOCOL_VERSION))
    monkeypatch.setitem(KINDS, "count", Count())
    monkeypatch.setattr("workers.jobs.supervise.start_half", in_this_process)
    assignment = assignment_for(contract_for(door.home), kind="count", attempt=1, spec={"factor": 3})
    folder = door.open(assignment)
    folder.write_assignment(assignment)
    job = door.spool.jobs()[0].job_id
    supervise(door.home, "run_1", job)
    row = door.spool.job(job)
    assert row is not None
    assert (row.state, row.outcome) == ("exited", "done")
    assert (folder.out / "count").read_text() == "6"
    assert [item.kind for item in door.spool.outbox()] == ["exit"]
