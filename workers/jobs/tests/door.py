"""A job's folder as agent and supervisor leave it for the half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workers.contracts import API_PREFIX, Assignment, Desired
from workers.jobs.folder import JobFolder, JobSpec, job_id_of
from workers.outbox.spool import Spool
from workers.settings import WorkerHome
from workers.tests.support import assignment_for, contract_for


@dataclass
class Door:
    """One worker's folder, in which a test lays jobs."""

    home: WorkerHome
    spool: Spool

    def folder(self, assignment: Assignment) -> JobFolder:
        """The folder of the job that an assignment asks for."""
        return JobFolder.of(self.home, "run_1", job_id_of(assignment))

    def open(self, assignment: Assignment, *, admitted: Assignment | None = None) -> JobFolder:
        """Prepare the job; `admitted` is what the agent let in, the same if not said otherwise."""
        known, folder = admitted or assignment, self.folder(assignment)
        folder.create()
        folder.write_desired(Desired.RUNNING)
        self.spool.job_rung(
            job_id=job_id_of(assignment),
            run_id="run_1",
            participant_id="prt_1",
            kind=known.kind,
            contract_hash=known.contract_hash,
            party=known.party,
        )
        self.spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
        self.write_spec(assignment)
        return folder

    def write_spec(self, assignment: Assignment) -> JobFolder:
        """What the supervisor tells the half."""
        folder = self.folder(assignment)
        folder.create()
        spec = JobSpec(job_id=job_id_of(assignment), home=str(self.home.root), attempt=1, assignment=assignment)
        folder.write_spec(spec)
        return folder

    def lawful(self, **changes: Any) -> Assignment:
        """What the site's policy allows."""
        return assignment_for(contract_for(self.home), **changes)

    def check_of(self, adapter: str, sha256: str) -> Assignment:
        """An evaluation of an adapter."""
        url = f"{API_PREFIX}/runs/run_1/adapters/{adapter}?participant_id=prt_1"
        return self.lawful(kind="evaluate", adapter_id=adapter, adapter_sha256=sha256, adapter_url=url)


def code_of(folder: JobFolder) -> str:
    """The number with which a job ended."""
    result = folder.result()
    assert result is not None
    assert result.error is not None
    return result.error.code
