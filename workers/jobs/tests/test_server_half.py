"""The compute half as a worker runs it: a process of its own whose checkpoints are fenced by its attempt."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from processes.redis_server import free_port
from splitcore.wire.transport.certificates import create_identity
from workers.contracts import Assignment, Desired
from workers.jobs.folder import JobFolder, JobSpec
from workers.jobs.supervise import half_command
from workers.models_registry import ModelRegistry
from workers.outbox.spool import Spool
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import assignment_for, contract_for, enrolled_home, wait_for
from workers.trust import TrustBook

JOB = "prt_1-train"
BASE_MODEL = Path(__file__).resolve().parents[3] / "demo" / "base_model"


@dataclass
class ComputeJob:
    """A compute worker with one job that was let in."""

    home: WorkerHome
    folder: JobFolder
    spool: Spool
    assignment: Assignment

    def start(self, attempt: int) -> subprocess.Popen[bytes]:
        """The half's process, as its supervisor starts it."""
        self.folder.write_spec(
            JobSpec(job_id=JOB, home=str(self.home.root), attempt=attempt, assignment=self.assignment)
        )
        self.folder.write_desired(Desired.RUNNING)
        self.spool.claim(run_id="run_1", participant_id="prt_1", attempt=attempt)
        return subprocess.Popen(half_command(self.folder))

    def claimed(self) -> int:
        """The attempt that has the checkpoints' folder."""
        try:
            return int((self.folder.checkpoints / "attempt").read_text())
        except (OSError, ValueError):
            return 0


@pytest.fixture
def job(tmp_path: Path) -> ComputeJob:
    home, client = enrolled_home(tmp_path / "home", kind="compute"), create_identity("client")
    with TrustBook.changing(home) as book:
        book.add(client.fingerprint, "data")
    model = ModelRegistry(home).add(BASE_MODEL, model_id="acme/tiny", revision="r1")
    port = free_port()
    config = WorkerConfig.load(home)
    config.model_copy(update={"tensor_bind": "127.0.0.1", "tensor_ports": (port, port)}).save(home)
    contract = contract_for(home)
    contract["config"]["model"]["manifest"] = model.manifest_hash
    own, peer = contract["participants"]
    own.update(party="gpu", role="server", dataset="", dataset_version_id="", dataset_digest="", dataset_version=None)
    peer.update(party="hospital-a", role="client", fingerprint=client.fingerprint)
    assignment = assignment_for(contract, party="gpu", role="server", certificates=[client.certificate_pem])
    folder, spool = JobFolder.of(home, "run_1", JOB), Spool(home.spool_file)
    folder.create()
    spool.job_rung(
        job_id=JOB,
        run_id="run_1",
        participant_id="prt_1",
        kind="train",
        contract_hash=assignment.contract_hash,
        party="gpu",
    )
    return ComputeJob(home, folder, spool, assignment)


def test_the_compute_half_s_checkpoints_belong_to_its_attempt_and_an_older_one_is_refused(job: ComputeJob) -> None:
    newer = job.start(2)
    wait_for(lambda: job.claimed() == 2 or newer.poll() is not None, seconds=60, what="the claim of the folder")
    assert job.claimed() == 2
    job.folder.write_desired(Desired.STOPPED)
    assert newer.wait(60) == 0
    older = job.start(1)  # a process of the first attempt wakes after it lost its lease
    assert older.wait(60) == 1
    result = job.folder.result()
    assert result is not None
    assert result.error is not None
    assert result.error.code == "CL-1503"
