"""The folder of one job: how agent, supervisor and half tell each other things on one machine.

The agent writes `assignment.json`, `desired` and `peer.json`; the supervisor holds `lock` while it lives and writes
`spec.json`; the half writes `stopping`, `result.json`, its segments to `out/` and its raw log, which stays on this
machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from splitcore.errors import AppError
from splitcore.privacy import secret
from workers.contracts import Assignment, Desired, ErrorInfo
from workers.settings import WorkerHome, write_private

Model = TypeVar("Model", bound=BaseModel)
EXIT_DISK = 74  # the half's exit status when it cannot even store its result
_NAME = re.compile(r"[A-Za-z0-9_\-]{1,120}")


class Peer(BaseModel):
    """Where a client half finds the server half, and the certificate that it must show."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int
    attempt: int
    certificate_pem: str


class JobSpec(BaseModel):
    """What the half's process is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_id: str
    home: str
    attempt: int
    assignment: Assignment


class JobResult(BaseModel):
    """What the half says at its end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Literal["done", "failed", "stopped"]
    error: ErrorInfo | None = None
    checkpoint_step: int | None = None
    figures: dict[str, Any] | None = None  # of a later kind: what its end reports besides


def job_id_of(assignment: Assignment) -> str:
    """The name of the job that an assignment asks for: one for each participant and kind (and what it is about)."""
    parts = [assignment.participant_id, assignment.kind, assignment.adapter_id or assignment.subject]
    return checked_name("-".join(part for part in parts if part))


def checked_name(name: str) -> str:
    """A name of the hub's that becomes a folder's: letters, digits, _ and -. Raises AppError CL-1524."""
    if not _NAME.fullmatch(name):
        raise AppError("CL-1524", "The hub sent an invalid id.")
    return name


def forget_checkpoints(home: WorkerHome, run_id: str) -> None:
    """Delete what this worker's halves have saved for a run that is over for good. Raises AppError CL-1524, OSError.

    The secret of a job's noise stays: should the run go on after all, the same values are sent with the same noise.
    """
    for saved in _saved(home, run_id):
        if saved.is_dir():
            shutil.rmtree(saved, ignore_errors=True)
        else:
            saved.unlink(missing_ok=True)


def has_checkpoints(home: WorkerHome, run_id: str) -> bool:
    """Whether `forget_checkpoints` would delete anything. Raises AppError CL-1524."""
    return any(True for _ in _saved(home, run_id))


def _saved(home: WorkerHome, run_id: str) -> Iterator[Path]:
    saved = (home.jobs / checked_name(run_id)).glob("*/checkpoints/*")
    return (path for path in saved if path.name != secret.NAME)


@dataclass(frozen=True)
class JobFolder:
    """The paths and the small files of one job."""

    path: Path

    @classmethod
    def of(cls, home: WorkerHome, run_id: str, job_id: str) -> JobFolder:
        """The folder of a job below the worker's."""
        return cls(home.jobs / checked_name(run_id) / checked_name(job_id))

    @property
    def out(self) -> Path:
        """Segments and checkpoints of the half."""
        return self.path / "out"

    @property
    def log(self) -> Path:
        """The half's raw output."""
        return self.path / "job.log"

    @property
    def checkpoints(self) -> Path:
        """What the half has saved on its way. It outlives the attempts, so that the next one goes on from it."""
        return self.path / "checkpoints"

    def renew(self) -> None:
        """Forget what belongs to an older attempt: where its peer was, how it ended, why it was condemned."""
        for name in ("peer.json", "result.json", "condemned.json", "stopping"):
            (self.path / name).unlink(missing_ok=True)

    def create(self) -> None:
        """Make the folder, closed to other users."""
        self.out.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write_assignment(self, assignment: Assignment) -> None:
        """What the hub asks for."""
        write_private(self.path / "assignment.json", assignment.model_dump_json())

    def read_assignment(self) -> Assignment:
        """What the hub asks for. Raises AppError CL-1524."""
        return self._load("assignment.json", Assignment)

    def write_spec(self, spec: JobSpec) -> None:
        """What the half is told; the result of an earlier attempt goes away."""
        for name in ("result.json", "stopping"):
            (self.path / name).unlink(missing_ok=True)
        write_private(self.path / "spec.json", spec.model_dump_json())

    def read_spec(self) -> JobSpec:
        """What the half is told. Raises AppError CL-1524."""
        return self._load("spec.json", JobSpec)

    def write_desired(self, desired: Desired) -> None:
        """What the hub wants now; nothing happens where it is the same already."""
        if self.desired() != desired or not (self.path / "desired").exists():
            write_private(self.path / "desired", desired.value)

    def desired(self) -> Desired:
        """What the hub wants now, as far as this machine knows; a stop where the site itself has ended the job."""
        if self.condemned() is not None:
            return Desired.STOPPED
        try:
            return Desired((self.path / "desired").read_text().strip())
        except (OSError, ValueError):
            return Desired.RUNNING

    def write_peer(self, peer: Peer) -> None:
        """Where the server half listens."""
        if self.peer() != peer:
            write_private(self.path / "peer.json", peer.model_dump_json())

    def peer(self) -> Peer | None:
        """Where the server half listens, once it is known."""
        try:
            return Peer.model_validate_json((self.path / "peer.json").read_text())
        except (OSError, ValidationError):
            return None

    def acknowledge_stop(self) -> None:
        """The half has seen that it is to stop: it sends nothing more and saves."""
        write_private(self.path / "stopping", "")

    def is_stopping(self) -> bool:
        """Whether the half has seen that it is to stop."""
        return (self.path / "stopping").exists()

    def write_result(self, result: JobResult) -> None:
        """The half's last word."""
        write_private(self.path / "result.json", result.model_dump_json())

    def result(self) -> JobResult | None:
        """The half's last word, if it had one."""
        try:
            return JobResult.model_validate_json((self.path / "result.json").read_text())
        except (OSError, ValidationError):
            return None

    def condemn(self, error: ErrorInfo) -> None:
        """The site itself ends the job: `error` says why, and whatever the hub wants, the half is stopped."""
        write_private(self.path / "condemned.json", error.model_dump_json())
        write_private(self.path / "desired", Desired.STOPPED.value)

    def condemned(self) -> ErrorInfo | None:
        """Why the site has ended the job, if it has."""
        try:
            return ErrorInfo.model_validate_json((self.path / "condemned.json").read_text())
        except (OSError, ValidationError):
            return None

    @contextmanager
    def locked(self, *, patience: float = 0.5) -> Iterator[bool]:
        """Hold the job. Yields False where another supervisor holds it; the kernel releases it with its holder.

        The patience outlasts `is_alive`, which looks for an instant.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience
        try:
            while not (held := _flock(descriptor, fcntl.LOCK_EX)) and time.monotonic() < deadline:
                time.sleep(0.02)
            yield held
        finally:
            os.close(descriptor)

    def is_alive(self) -> bool:
        """Whether a supervisor holds the job."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            return not _flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def _load(self, name: str, model: type[Model]) -> Model:
        try:
            return model.model_validate_json((self.path / name).read_text())
        except (OSError, ValidationError, json.JSONDecodeError):
            raise AppError("CL-1524", f"The job's {name} is missing or from another version.") from None


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
