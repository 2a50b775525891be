"""What a kind of job answers: the questions that agent, supervisor and the job's own process put to it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from splitcore.errors import AppError
from workers.contracts import Assignment, spec_read
from workers.jobs.folder import JobFolder, JobResult, JobSpec
from workers.jobs.setting import JobSetting
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.settings import WorkerHome

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """A job whose process is gone, with what it left."""

    home: WorkerHome
    spool: Spool
    folder: JobFolder
    spec: JobSpec

    @property
    def assignment(self) -> Assignment:
        """What the hub asked for."""
        return self.spec.assignment


class JobKind(ABC):
    """One kind of job. Its module loads no torch: what computes is imported in `run`, in the job's own process."""

    name: ClassVar[str]  # as the hub calls it, and `JOBS` of the contracts
    is_steered: ClassVar[bool] = False  # pause, stop and the site's budget reach it while it runs
    is_beside: ClassVar[bool] = False  # it may run while another job trains: without a GPU, and at low priority
    is_repeatable: ClassVar[bool] = False  # lost without a word, it is simply done again
    # Nothing of it reaches another party: it asks neither for their certificates nor for a person's approval of the
    # contract, and binds the site to none.
    is_alone: ClassVar[bool] = False
    tells_phases: ClassVar[bool] = True  # its phases are the party's; else they would hide those of a half that trains

    def rule(self, assignment: Assignment, policy: SitePolicy) -> None:
        """Refuse what this kind is not to be asked for here. Raises AppError CL-1425, CL-1509."""
        try:
            spec_read(assignment)
        except ValueError:
            raise AppError("CL-1425", f"The hub's description of the job doesn't fit the kind “{self.name}”.") from None

    def claim(
        self, home: WorkerHome, folder: JobFolder, assignment: Assignment, *, job_id: str, highest_attempt: int
    ) -> int | None:
        """The attempt under which the job runs, or None where the hub does not want it (any more).

        A job without a claim runs under one that this worker has had: a higher one would fence the half that trains.
        """
        if assignment.attempt > highest_attempt:
            log.error("the job %s waits: its attempt %d was never issued here", job_id, assignment.attempt)
            return None
        return assignment.attempt

    def tell(self, home: WorkerHome, folder: JobFolder, assignment: Assignment) -> None:
        """Pass on to the job, as the hub's list has it by now, what it waits for."""
        return None

    def clear(self, folder: JobFolder) -> None:
        """Delete what a process of this kind leaves in its folder and nobody goes on from, also one that was killed."""
        return None

    @abstractmethod
    def run(self, setting: JobSetting) -> JobResult:
        """Do the work, in the job's own process. Raises AppError."""

    def deliver(self, ended: Ended, result: JobResult) -> JobResult:
        """Queue the files that the job leaves to the hub; returns how it ends by that."""
        return result

    @abstractmethod
    def report(self, spool: Spool, assignment: Assignment, attempt: int, result: JobResult) -> None:
        """Queue what the hub is told of the end, also of a job that never had a process."""

    def report_at_once(self, home: WorkerHome, spec: JobSpec, error: AppError) -> None:
        """Tell the hub of the end without the spool, because the disk takes nothing any more."""
        return None
