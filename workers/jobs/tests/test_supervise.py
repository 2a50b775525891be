"""A job under its supervisor, with a small program in the half's place: stopped, killed, failed, orphaned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitcore.config import canonical_json
from splitcore.errors import CATALOGUE, ErrorRole, role_of
from workers.contracts import Desired
from workers.errors import error_info
from workers.jobs import supervise
from workers.jobs.folder import JobFolder, JobResult, JobSpec
from workers.outbox.spool import Spool
from workers.settings import WorkerHome
from workers.tests.support import FakeHub, assignment_for, contract_for, enrolled_home, fake_hub, wait_for

JOB = "prt_1-train"
SUPERVISOR = """
import sys
from pathlib import Path
from workers.jobs import supervise
from workers.processes import start
from workers.settings import WorkerHome
supervise.start_half = lambda home, folder: start([sys.executable, "-c", {half!r}, str(folder.path)], log=folder.log)
{changed}
supervise.supervise(WorkerHome(Path({home!r})), "run_1", "prt_1-train")
"""
ENDLESS = "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'here').touch(); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + ENDLESS
OBEDIENT = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "here").touch()
while (folder / "desired").read_text() != "stopped":
    time.sleep(0.02)
(folder / "result.json").write_text(json.dumps({"outcome": "stopped", "checkpoint_step": 7}))
"""
SLOW = OBEDIENT.replace('(folder / "result', "(folder / 'stopping').touch()\ntime.sleep(3)\n(folder / \"result")
GRANDCHILD = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(601)']); " + ENDLESS
)
KERNEL = """
from pathlib import Path
supervise.MEMORY_EVENTS = Path({events!r})
"""
FULL_DISK = """
import resource
original = supervise._run
def run(*arguments):
    result = original(*arguments)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return result
supervise._run = run
"""


@dataclass
class Site:
    """A worker's folder with one job that was rung for."""

    home: WorkerHome
    hub: FakeHub
    folder: JobFolder
    spool: Spool

    def supervise(self, half: str, changed: str = "") -> subprocess.Popen[bytes]:
        """The supervisor's process; `changed` is code that it runs first."""
        script = SUPERVISOR.format(half=half, home=str(self.home.root), changed=changed)
        return subprocess.Popen([sys.executable, "-c", script])

    def exit(self) -> dict[str, Any]:
        [item] = [item for item in self.spool.outbox() if item.kind == "exit"]
        return dict(json.loads(item.body))

    def half(self) -> psutil.Process:
        wait_for((self.folder.path / "here").exists, what="the half")
        return next(p for p in psutil.process_iter() if str(self.folder.path) in _command_line(p))


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with fake_hub() as hub:
        home = enrolled_home(tmp_path / "home", hub.url)
        assignment = assignment_for(canonical_json(contract_for(home)))
        folder, spool = JobFolder.of(home, "run_1", JOB), Spool(home.spool_file)
        folder.create()
        folder.write_assignment(assignment)
        folder.write_desired(Desired.RUNNING)
        spool.job_rung(
            job_id=JOB,
            run_id="run_1",
            participant_id="prt_1",
            kind="train",
            contract_hash=assignment.contract_hash,
            party=assignment.party,
        )
        yield Site(home, hub, folder, spool)


@pytest.mark.promise(29, figure="2 s, or 15 s where a checkpoint is slow to save; measured 0.28 s")
def test_a_stop_saves_and_ends_within_two_seconds(site: Site) -> None:
    supervisor = site.supervise(OBEDIENT)
    half = site.half()
    site.folder.write_desired(Desired.STOPPED)
    wait_for(lambda: not half.is_running(), seconds=2.0, what="the half's end")
    assert supervisor.wait(10) == 0
    assert site.exit() | {"error": None} == {
        "kind": "train",
        "subject": "",
        "participant_id": "prt_1",
        "attempt": 1,
        "outcome": "stopped",
        "error": None,
        "checkpoint_step": 7,
    }


def test_a_half_that_hears_nothing_is_gone_within_two_seconds_too(site: Site) -> None:
    supervisor = site.supervise(STUBBORN)
    half = site.half()
    site.folder.write_desired(Desired.STOPPED)
    wait_for(lambda: not half.is_running(), seconds=2.0, what="the half's end")
    assert supervisor.wait(10) == 0
    assert site.exit()["outcome"] == "stopped"


def test_a_half_that_saves_on_a_slow_disk_is_given_the_time(site: Site) -> None:
    supervisor = site.supervise(SLOW)
    site.half()
    site.folder.write_desired(Desired.STOPPED)
    assert supervisor.wait(20) == 0
    assert (site.exit()["outcome"], site.exit()["checkpoint_step"]) == ("stopped", 7)


def test_a_half_that_saves_slowly_while_the_worker_ends_is_told_in_time(site: Site, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    changed = f"import pathlib; supervise._shutting_down = pathlib.Path({str(ends)!r}).exists"
    supervisor = site.supervise(SLOW.replace("sleep(3)", "sleep(12)"), changed)
    site.half()
    ends.touch()
    assert supervisor.wait(40) == 0
    told = site.exit()
    assert (told["outcome"], told["error"]["code"], told["checkpoint_step"]) == ("failed", "CL-1523", None)


@pytest.mark.parametrize("code", ["CL-1520", "CL-1523"])
def test_a_check_that_this_machine_broke_off_is_made_again_and_nothing_is_said_of_it(site: Site, code: str) -> None:
    assignment = site.folder.read_assignment().model_copy(update={"kind": "verify", "adapter_sha256": "ab" * 32})
    spec = JobSpec(job_id=JOB, home=str(site.home.root), attempt=1, assignment=assignment)
    site.spool.job_running(JOB, 1)
    supervise._report(site.home, site.spool, site.folder, spec, JobResult(outcome="failed", error=error_info(code)))
    row = site.spool.job(JOB)
    assert row is not None
    assert row.state == "rung"
    assert site.spool.outbox() == []


def test_a_killed_half_is_reported_with_its_cause(site: Site) -> None:
    supervisor = site.supervise(ENDLESS)
    site.half().kill()
    assert supervisor.wait(10) == 0
    assert site.exit()["outcome"] == "failed"
    assert site.exit()["error"]["code"] == "CL-1520"
    job = site.spool.job(JOB)
    assert job is not None
    assert (job.state, job.outcome) == ("exited", "failed")


@pytest.mark.promise(30)
@pytest.mark.parametrize(("killed_by_the_kernel", "code"), [(True, "CL-1521"), (False, "CL-1520")])
def test_a_half_that_the_kernel_kills_for_memory_is_told_from_one_that_somebody_kills(
    site: Site, tmp_path: Path, killed_by_the_kernel: bool, code: str
) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n")
    supervisor = site.supervise(ENDLESS, KERNEL.format(events=str(events)))
    half = site.half()
    if killed_by_the_kernel:
        events.write_text("low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\n")  # the kernel counts before the signal lands
    half.kill()
    assert supervisor.wait(10) == 0
    ended = site.exit()
    assert (ended["outcome"], ended["error"]["code"]) == ("failed", code)
    assert ended["error"]["remedy"] == CATALOGUE[code].remedy


def test_the_counters_are_those_of_the_process_s_own_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["4:memory:/other", "0::/user.slice/worker.service"]
    read = supervise._lines_of
    monkeypatch.setattr(supervise, "_lines_of", lambda path: lines if path.parts[1] == "proc" else read(path))
    monkeypatch.setattr(supervise, "CONTROL_GROUPS", tmp_path)
    assert supervise._oom_kills() == 0
    events = tmp_path / "user.slice" / "worker.service" / "memory.events"
    events.parent.mkdir(parents=True)
    events.write_text("oom 3\noom_kill 2\n")
    assert supervise._oom_kills() == 2


def test_a_half_that_ends_without_a_word_is_a_failure(site: Site) -> None:
    assert site.supervise("raise SystemExit(5)").wait(10) == 0
    assert site.exit()["error"]["code"] == "CL-1522"
    assert site.exit()["error"]["where"] == "exit status 5"


def test_a_killed_supervisor_leaves_no_orphan(site: Site) -> None:
    supervisor = site.supervise(ENDLESS)
    half = site.half()
    assert site.folder.is_alive()
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait(10)
    wait_for(lambda: not half.is_running() or half.status() == psutil.STATUS_ZOMBIE, what="the half's end")
    assert not site.folder.is_alive()
    job = site.spool.job(JOB)
    assert job is not None
    assert job.state == "running"  # which the agent finds and reports


def test_what_the_half_has_started_goes_with_it(site: Site) -> None:
    supervisor = site.supervise(GRANDCHILD)
    half = site.half()
    [grandchild] = wait_for(half.children, what="the grandchild")
    half.kill()
    assert supervisor.wait(10) == 0
    wait_for(
        lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE, what="the grandchild's end"
    )


def test_two_doorbells_start_one_job(site: Site) -> None:
    first = site.supervise(ENDLESS)
    site.half()
    assert site.supervise(ENDLESS).wait(10) == 0
    assert site.hub.attempts == {"prt_1": 1}
    assert first.poll() is None
    first.kill()
    first.wait()


def test_a_doorbell_that_waits_for_the_end_of_its_job_starts_it_no_second_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def locked(_folder: JobFolder) -> Iterator[bool]:
        site.spool.job_exited(JOB, "done")  # the other supervisor lets the lock go once its job has ended
        yield True

    monkeypatch.setattr(JobFolder, "locked", locked)
    supervise.supervise(site.home, "run_1", JOB)
    assert site.hub.attempts == {}


def test_a_job_that_the_hub_does_not_want_is_not_started(site: Site) -> None:
    site.hub.refusals = {"/claim": (409, {"code": "CL-1504", "message": "no use"})}
    assert site.supervise(ENDLESS).wait(10) == 0
    assert not (site.folder.path / "here").exists()
    assert site.spool.outbox() == []


def test_a_job_condemned_by_its_site_is_stopped_with_the_site_s_reason(site: Site) -> None:
    from workers.errors import error_info

    supervisor = site.supervise(OBEDIENT)
    site.half()
    site.folder.condemn(error_info("CL-1424"))
    assert supervisor.wait(10) == 0
    assert site.exit()["outcome"] == "failed"
    assert site.exit()["error"]["code"] == "CL-1424"


def test_a_job_condemned_before_its_claim_starts_no_half(site: Site) -> None:
    site.folder.condemn(error_info("CL-1424"))
    assert site.supervise(ENDLESS).wait(10) == 0
    assert not (site.folder.path / "here").exists()
    assert (site.exit()["attempt"], site.exit()["error"]["code"]) == (1, "CL-1424")


def test_what_the_hub_wants_after_the_site_has_condemned_a_job_keeps_it_running_no_longer(site: Site) -> None:
    supervisor = site.supervise(ENDLESS)
    half = site.half()
    site.folder.condemn(error_info("CL-1424"))
    site.folder.write_desired(Desired.RUNNING)  # a reply of the hub's that was on its way
    assert site.folder.desired() is Desired.STOPPED
    wait_for(lambda: not half.is_running(), seconds=5.0, what="the half's end")
    assert supervisor.wait(10) == 0
    assert site.exit()["error"]["code"] == "CL-1424"


def test_a_full_disk_is_met_before_anything_starts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTLAYER_MIN_FREE_BYTES", str(1 << 60))
    assert site.supervise(ENDLESS).wait(10) == 0
    assert not (site.folder.path / "here").exists()
    assert site.exit()["error"]["code"] == "CL-1820"


def test_a_spool_that_takes_no_more_does_not_hide_the_end(site: Site) -> None:
    """The exit goes straight to the hub, with the number of the full disk."""
    script = SUPERVISOR.format(half="raise SystemExit(74)", home=str(site.home.root), changed="")
    script = script.replace("supervise.supervise(", FULL_DISK + "supervise.supervise(")
    supervisor = subprocess.run([sys.executable, "-c", script], timeout=20, check=False)
    assert supervisor.returncode == 0
    [ended] = site.hub.bodies("/exit")
    assert ended["outcome"] == "failed"
    assert ended["error"]["code"] == "CL-1820"


def test_the_supervisor_s_descriptor_is_not_inherited(site: Site) -> None:
    """Else the job's lock would outlive a killed supervisor."""
    supervisor = site.supervise(ENDLESS)
    half = site.half()
    lock = os.stat(site.folder.path / "lock").st_ino
    held = {os.stat(entry).st_ino for entry in Path(f"/proc/{half.pid}/fd").iterdir() if entry.exists()}
    assert lock not in held
    supervisor.kill()
    supervisor.wait()


@pytest.mark.parametrize("code", sorted(code for code in CATALOGUE if role_of(code) is ErrorRole.CONSEQUENCE))
def test_a_half_that_lost_its_partner_lets_the_first_cause_speak(tmp_path: Path, code: str) -> None:
    folder = JobFolder(tmp_path)
    folder.write_desired(Desired.STOPPED)  # the hub has the other half's error, and stops this one
    lost = JobResult(outcome="failed", error=error_info(code), checkpoint_step=3)
    assert supervise.after_the_first_cause(folder, lost) == JobResult(outcome="stopped", checkpoint_step=3)


def test_a_half_with_a_trouble_of_its_own_reports_it_at_once(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write_desired(Desired.STOPPED)
    own = JobResult(outcome="failed", error=error_info("CL-1521"))
    assert supervise.after_the_first_cause(folder, own) is own
