"""Watching over one job: claim it at the hub, start the half's process, stop it when told, say how it ended.

Runs inside a Celery task (solo pool) and loads no torch. It holds the job's lock while it lives; when it is killed,
the kernel kills the half with it (PDEATHSIG) and the agent reports the loss.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from splitcore.errors import AppError
from workers.agent.spool import OutboxKind, Spool
from workers.contracts import (
    Assignment,
    Claim,
    ClaimReply,
    Desired,
    Exit,
    SegmentUpload,
)
from workers.facts import disk_free
from workers.hub import HubClient, HubError
from workers.jobs.errors import error_info
from workers.jobs.folder import EXIT_DISK, JobFolder, JobResult, JobSpec
from workers.jobs.report import post_failed_check
from workers.jobs.segments import pack_segment
from workers.jobs.tokenizer import tokenizer_uploads
from workers.jobs.warm import Half, WarmProcess, half_command
from workers.ledger.budget import check_budget
from workers.processes import signal_group, start
from workers.settings import WorkerEnvironment, WorkerHome

log = logging.getLogger(__name__)
LOOK = 0.05  # seconds between looks at the process and at what is desired
SAVE_SECONDS = 1.3  # what a half gets to save its checkpoint before TERM
TERM_SECONDS = 0.2  # and then, before KILL
CLAIM_PATIENCE = 60.0
CONSEQUENCES = ("CL-1326", "CL-1328", "CL-1329", "CL-1530")  # what a half meets when the other one has failed
CAUSE_SECONDS = 4.0
CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMORY_EVENTS: Path | None = None  # a drill's counters in place of the kernel's
_warm: dict[Path, WarmProcess] = {}  # of this process, kept between jobs


def supervise(home: WorkerHome, run_id: str, job_id: str) -> None:
    """Run one job to its end. Returns at once where another supervisor has it or nothing is left to do."""
    folder, spool = JobFolder.of(home, run_id, job_id), Spool(home.spool_file)
    row = spool.job(job_id)
    if row is None or row.state == "exited":
        return
    with folder.locked() as held:
        if not held:
            return
        assignment = folder.read_assignment()
        if (row.contract_hash, row.party) != (assignment.contract_hash, assignment.party):
            log.error("the job %s was not admitted with this contract", job_id)
            return
        attempt = _claim(home, folder, assignment, job_id, spool.highest_attempt(assignment.participant_id))
        if attempt is None:
            return
        spool.claim(run_id=run_id, participant_id=assignment.participant_id, attempt=attempt)
        spool.job_running(job_id, attempt)
        spec = JobSpec(job_id=job_id, home=str(home.root), attempt=attempt, assignment=assignment)
        result = _run(home, folder, spec)
        try:
            _report(home, spool, folder, spec, result)
        except AppError as error:
            log.error("the end of %s cannot be stored: %s", job_id, error.code)
            _tell_hub(home, spec, error)


def _claim(
    home: WorkerHome, folder: JobFolder, assignment: Assignment, job_id: str, highest_attempt: int
) -> int | None:
    """The attempt under which the job runs, or None where the hub does not want it (any more)."""
    if assignment.kind != "train":
        return assignment.attempt
    client = HubClient.of(home)
    try:
        reply = client.call(
            "POST",
            f"/runs/{assignment.run_id}/claim",
            Claim(
                participant_id=assignment.participant_id,
                contract_hash=assignment.contract_hash,
                job_id=job_id[:120],
                highest_attempt=highest_attempt,
            ),
            reply=ClaimReply,
            patience=CLAIM_PATIENCE,
        )
    except HubError as error:
        log.warning("the hub did not give out the job %s: %s", job_id, error.code)
        return None
    finally:
        client.close()
    folder.write_desired(reply.desired)
    return reply.attempt


def _run(home: WorkerHome, folder: JobFolder, spec: JobSpec) -> JobResult:
    """Start the half and wait until its process is gone."""
    oom_before = _oom_kills()
    try:
        _check_disk(home)
        folder.write_spec(spec)
        process = start_half(home, folder)
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
                _stop(process)
                break
            time.sleep(LOOK)
    finally:
        signal_group(process, signal.SIGKILL)  # whatever the half has started goes with it
        process.wait()
    result = _outcome(folder, process.wait(), shut_down=shut_down, oom=_oom_kills() > oom_before)
    return _after_the_first_cause(folder, result)


def _after_the_first_cause(folder: JobFolder, result: JobResult) -> JobResult:
    """Give the other half's own error the time to arrive first: this one only lost its partner.

    Once the hub knows, it wants this half stopped, and that is what it then is.
    """
    stopped_unasked = result.outcome == "stopped" and folder.desired() is not Desired.STOPPED
    if not stopped_unasked and (result.error is None or result.error.code not in CONSEQUENCES):
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
            "CL-1820", f"{free / 1e6:.0f} MB are free on the worker's disk; a job needs {least / 1e6:.0f} MB."
        )


def _is_wanted(folder: JobFolder) -> bool:
    return not _shutting_down() and folder.desired() is not Desired.STOPPED


def start_half(home: WorkerHome, folder: JobFolder) -> Half | None:
    """Start the half's process; None when the job was stopped before it was there.

    With CUTLAYER_WARM_HALVES it is forked from a process that keeps torch loaded between jobs. A slot with a GPU
    starts it anew all the same: a driver that was touched before a fork cannot be used after it.
    """
    if not WorkerEnvironment().warm_halves or os.environ.get("CUDA_VISIBLE_DEVICES"):
        return start(half_command(folder), log=folder.log)
    if home.root not in _warm:
        _warm[home.root] = WarmProcess(home.logs / "warm.log")
    return _warm[home.root].start_half(folder, wanted=lambda: _is_wanted(folder))


def _stop(process: Half) -> None:
    """Give the half its time to save, then TERM, then KILL."""
    if _gone_within(process, SAVE_SECONDS):
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
    """Queue segments, tokenizer and exit. The agent sends them, after every record, as soon as the hub is there."""
    assignment = spec.assignment
    if assignment.kind == "train":
        if result.outcome == "done":
            result = _queue_segments(home, spool, folder, spec, result)
        if result.outcome == "done":
            for file, digest in tokenizer_uploads(home, assignment, folder.out):
                _queue_file(spool, spec, "tokenizer", file, digest)
        spool.post(
            run_id=assignment.run_id,
            participant_id=assignment.participant_id,
            kind="exit",
            attempt=spec.attempt,
            body=Exit(participant_id=assignment.participant_id, attempt=spec.attempt, **dict(result)),
        )
    elif result.outcome == "failed" and result.error is not None:
        post_failed_check(spool, assignment, spec.attempt, result.error)
    spool.job_exited(spec.job_id, result.outcome)


def _tell_hub(home: WorkerHome, spec: JobSpec, error: AppError) -> None:
    """Where the disk takes nothing any more, the exit goes to the hub at once; else the agent reports the loss."""
    if spec.assignment.kind != "train":
        return
    participant_id = spec.assignment.participant_id
    message = Exit(participant_id=participant_id, attempt=spec.attempt, outcome="failed", error=error_info(error))
    client = HubClient.of(home)
    try:
        client.post(f"/runs/{spec.assignment.run_id}/exit", message, patience=CLAIM_PATIENCE)
    except HubError as refusal:
        log.warning("the hub did not take the exit: %s", refusal.code)
    finally:
        client.close()


def _queue_segments(home: WorkerHome, spool: Spool, folder: JobFolder, spec: JobSpec, result: JobResult) -> JobResult:
    """Pack what the half has trained. A segment that cannot be packed, or may not leave, fails the job."""
    try:
        packed = []
        for segment in sorted(path for path in (folder.out / "segments").iterdir() if path.is_dir()):
            target = folder.out / f"{segment.name}.safetensors"
            packed.append((target, pack_segment(segment, target)))
        check_budget(home, spec.assignment.run_id, sum(target.stat().st_size for target, _ in packed))
        for target, digest in packed:
            _queue_file(spool, spec, "segment", target, digest)
    except (OSError, AppError) as error:
        return JobResult(outcome="failed", error=error_info(error))
    return result


def _queue_file(spool: Spool, spec: JobSpec, kind: OutboxKind, file: Path, digest: str) -> None:
    participant_id = spec.assignment.participant_id
    spool.post(
        run_id=spec.assignment.run_id,
        participant_id=participant_id,
        kind=kind,
        attempt=spec.attempt,
        body=SegmentUpload(participant_id=participant_id, attempt=spec.attempt, sha256=digest),
        file=file,
    )


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
