"""Watching over one job: claim it at the hub, start the half's process, stop it when told, say how it ended.

Runs inside a Celery task (solo pool) and loads no torch. It holds the job's lock while it lives; when it is killed,
the kernel kills the half with it (PDEATHSIG) and the agent reports the loss.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from processes.fork_server import ForkedProcess, ForkServer
from splitcore.errors import AppError, ErrorRole, role_of
from workers.contracts import Desired
from workers.errors import error_info
from workers.facts import disk_free
from workers.jobs.folder import EXIT_DISK, JobFolder, JobResult, JobSpec
from workers.jobs.kinds.kind import Ended
from workers.jobs.kinds.registry import kind_of
from workers.outbox.spool import Spool
from workers.processes import signal_group, start
from workers.settings import WorkerEnvironment, WorkerHome

log = logging.getLogger(__name__)
LOOK = 0.05  # seconds between looks at the process and at what is desired
STOP_SECONDS = 1.3  # what a half gets to see that it is to stop, before TERM
TERM_SECONDS = 0.2  # and then, before KILL
SAVE_SECONDS = 15.0  # what one that has seen it gets in all: a checkpoint on a slow disk or a busy machine
SHUT_DOWN_SECONDS = 3.0  # the same where the worker itself ends: less than the agent gives this process
CAUSE_SECONDS = 4.0
CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMORY_EVENTS: Path | None = None  # a drill's counters in place of the kernel's
HALF = "workers.jobs.run"  # the program of a half
PRELOAD = ("peft", "torch", "transformers.modeling_utils", "splitcore.training.client", "splitcore.training.server")
Half = subprocess.Popen[bytes] | ForkedProcess
_fork_servers: dict[Path, ForkServer] = {}  # of this process, kept between jobs


def supervise(home: WorkerHome, run_id: str, job_id: str) -> None:
    """Run one job to its end. Returns at once where another supervisor has it or nothing is left to do."""
    folder, spool = JobFolder.of(home, run_id, job_id), Spool(home.spool_file)
    if spool.job(job_id) is None:
        return
    with folder.locked() as held:
        row = spool.job(job_id) if held else None  # under the lock: another supervisor may just have ended it
        if row is None or row.state == "exited":
            return
        assignment = folder.read_assignment()
        if (row.contract_hash, row.party) != (assignment.contract_hash, assignment.party):
            log.error("the job %s was not admitted with this contract", job_id)
            return
        highest = spool.highest_attempt(assignment.participant_id)
        attempt = kind_of(assignment).claim(home, folder, assignment, job_id=job_id, highest_attempt=highest)
        if attempt is None:
            return
        spool.claim(run_id=run_id, participant_id=assignment.participant_id, attempt=attempt)
        spool.job_running(job_id, attempt)
        spec = JobSpec(job_id=job_id, home=str(home.root), attempt=attempt, assignment=assignment)
        result = _run(home, folder, spec)
        try:
            _report(home, spool, folder, spec, result)
        except AppError as error:
            log.error("the end of %s could not be stored: %s", job_id, error.code)
            kind_of(assignment).report_at_once(home, spec, error)


def _run(home: WorkerHome, folder: JobFolder, spec: JobSpec) -> JobResult:
    """Start the half and wait until its process is gone."""
    oom_before = _oom_kills()
    try:
        _check_disk(home)
        folder.write_spec(spec)
        process = start_half(home, folder) if _is_wanted(folder) else None
    except (OSError, AppError) as error:
        return JobResult(outcome="failed", error=error_info(error))
    if process is None:
        return _outcome(folder, 0, shut_down=_shutting_down(), oom=False)
    shut_down = False
    try:
        while process.poll() is None:
            if not _is_wanted(folder):
                shut_down = _shutting_down()
                folder.write_desired(Desired.STOPPED)
                _stop(folder, process, saving=SHUT_DOWN_SECONDS if shut_down else SAVE_SECONDS)
                break
            time.sleep(LOOK)
    finally:
        signal_group(process, signal.SIGKILL)  # whatever the half has started goes with it
        process.wait()
    result = _outcome(folder, process.wait(), shut_down=shut_down, oom=_oom_kills() > oom_before)
    return after_the_first_cause(folder, result)


def after_the_first_cause(folder: JobFolder, result: JobResult) -> JobResult:
    """Give the other half's own error the time to arrive first: this one only lost its partner.

    Once the hub knows, it wants this half stopped, and that is what it then is.
    """
    stopped_unasked = result.outcome == "stopped" and folder.desired() is not Desired.STOPPED
    lost_its_partner = result.error is not None and role_of(result.error.code) is ErrorRole.CONSEQUENCE
    if not stopped_unasked and not lost_its_partner:
        return result
    deadline = time.monotonic() + CAUSE_SECONDS
    while time.monotonic() < deadline:
        if folder.desired() is Desired.STOPPED:
            return JobResult(outcome="stopped", checkpoint_step=result.checkpoint_step)
        time.sleep(LOOK)
    return result if result.error else JobResult(outcome="failed", error=error_info("CL-1328"))


def _check_disk(home: WorkerHome) -> None:
    """A full disk is met before anything is started. Raises AppError CL-1820."""
    free, least = disk_free(home.root), WorkerEnvironment().min_free_bytes
    if free < least:
        raise AppError(
            "CL-1820", f"{free / 1e6:.0f} MB are free on the worker's disk, but a job needs {least / 1e6:.0f} MB."
        )


def _is_wanted(folder: JobFolder) -> bool:
    return not _shutting_down() and folder.desired() is not Desired.STOPPED


def half_command(folder: JobFolder) -> list[str]:
    """The half as a program that is started anew."""
    return [sys.executable, "-m", HALF, str(folder.path)]


def start_half(home: WorkerHome, folder: JobFolder) -> Half | None:
    """Start the half's process; None when the job was stopped before it was there.

    With CUTLAYER_WARM_HALVES it is forked from a process that keeps torch loaded between jobs. A slot with a GPU
    starts it anew all the same: a driver that was touched before a fork cannot be used after it.
    """
    if WorkerEnvironment().warm_halves and not os.environ.get("CUDA_VISIBLE_DEVICES"):
        if home.root not in _fork_servers:
            _fork_servers[home.root] = ForkServer(HALF, preload=PRELOAD, log=home.logs / "warm.log")
        try:
            return _fork_servers[home.root].start([str(folder.path)], log=folder.log, wanted=lambda: _is_wanted(folder))
        except OSError as error:
            log.warning("restarting the half: %s", error)
    return start(half_command(folder), log=folder.log)


def _stop(folder: JobFolder, process: Half, *, saving: float) -> None:
    """Give the half its time to see the stop, and `saving` seconds in all once it has; then TERM, then KILL."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < saving and process.poll() is None:
        if waited > STOP_SECONDS and not folder.is_stopping():
            break
        time.sleep(0.02)
    if process.poll() is not None:
        return
    signal_group(process, signal.SIGTERM)
    if not _gone_within(process, TERM_SECONDS):
        signal_group(process, signal.SIGKILL)
        process.wait()


def _gone_within(process: Half, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return True
        time.sleep(0.02)
    return process.poll() is not None


def _outcome(folder: JobFolder, status: int, *, shut_down: bool, oom: bool) -> JobResult:
    """What became of the half: its own word if it had one, else what its exit status tells."""
    result = folder.result()
    if error := folder.condemned():
        return JobResult(outcome="failed", error=error)
    if shut_down and (result is None or result.outcome == "stopped"):
        step = result.checkpoint_step if result else None
        return JobResult(outcome="failed", error=error_info("CL-1523"), checkpoint_step=step)
    if result is not None:
        return result
    if folder.desired() is Desired.STOPPED:
        return JobResult(outcome="stopped")
    if status == -signal.SIGKILL:
        return JobResult(outcome="failed", error=error_info("CL-1521" if oom else "CL-1520"))
    if status == EXIT_DISK:
        return JobResult(outcome="failed", error=error_info("CL-1820"))
    where = f"signal {-status}" if status < 0 else f"exit status {status}"
    error = error_info("CL-1520" if status == -signal.SIGTERM else "CL-1522")
    return JobResult(outcome="failed", error=error.model_copy(update={"where": where}))


def _report(home: WorkerHome, spool: Spool, folder: JobFolder, spec: JobSpec, result: JobResult) -> None:
    """Queue what the job leaves and its end. The agent sends them, after every record, as soon as the hub is there.

    A check that this machine broke off is made again, and nothing is said of it.
    """
    kind = kind_of(spec.assignment)
    if kind.is_repeatable and result.error is not None and role_of(result.error.code) is ErrorRole.RECOVERABLE:
        log.info("the job %s was interrupted (%s) and is recreated", spec.job_id, result.error.code)
        kind.clear(folder)
        spool.job_waiting(spec.job_id)
        return
    result = kind.deliver(Ended(home, spool, folder, spec), result)
    kind.report(spool, spec.assignment, spec.attempt, result)
    spool.job_exited(spec.job_id, result.outcome)


def _shutting_down() -> bool:
    """Whether Celery was told to end: with the solo pool the task itself has to look."""
    from celery.worker import state

    return bool(state.should_stop is not None and state.should_stop is not False) or bool(
        state.should_terminate is not None and state.should_terminate is not False
    )


def _oom_kills() -> int:
    """How often the kernel has killed for memory in this process's control group, where it says so."""
    for line in _lines_of(MEMORY_EVENTS or _memory_events()):
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.isdigit():
            return int(count)
    return 0


def _memory_events() -> Path:
    """The kernel's counters of this process's own control group: outside a container that is not the topmost one."""
    own = next((line[3:] for line in _lines_of(Path("/proc/self/cgroup")) if line.startswith("0::")), "/")
    return CONTROL_GROUPS / own.strip("/") / "memory.events"


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, ValueError):
        return []
