"""Both halves of a run as two workers run them: real processes, real frames, no hub."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes.redis_server import free_port
from splitcore.wire.transport.certificates import load_identity
from workers.contracts import Assignment, Desired
from workers.data.store import DatasetStore
from workers.jobs.folder import JobFolder, JobSpec, Peer, job_id_of
from workers.jobs.supervise import half_command
from workers.models_registry import ModelRegistry
from workers.outbox.spool import Spool
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import assignment_for, contract_for, enrolled_home, wait_for
from workers.trust import TrustBook

BASE_MODEL = Path(__file__).resolve().parents[3] / "demo" / "base_model"


@dataclass
class Job:
    """One worker's part: its folder, what was admitted, and its process once it is started."""

    home: WorkerHome
    folder: JobFolder
    spool: Spool
    assignment: Assignment

    def start(self, attempt: int = 1, **variables: str) -> subprocess.Popen[bytes]:
        """The half's process, as its supervisor starts it."""
        self.folder.write_spec(
            JobSpec(job_id=self.folder.path.name, home=str(self.home.root), attempt=attempt, assignment=self.assignment)
        )
        self.folder.write_desired(Desired.RUNNING)
        part = self.assignment.participant_id
        self.spool.claim(run_id="run_1", participant_id=part, attempt=attempt)
        with self.folder.log.open("ab") as log:
            return subprocess.Popen(
                half_command(self.folder),
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            )

    def phase(self) -> str:
        """The phase that the half entered last, by the spool."""
        records = [record for pending in self.spool.pending(limit=100_000) for record in pending.records]
        return next((str(record.payload["phase"]) for record in reversed(records) if record.kind == "phase"), "")

    def steps(self) -> int:
        """The newest step whose figures are in the spool."""
        records = [record for pending in self.spool.pending(limit=100_000) for record in pending.records]
        return max((record.step or 0 for record in records if record.kind == "metric"), default=0)


@dataclass
class Pair:
    """The compute site's job and the data site's."""

    server: Job
    client: Job

    def desire(self, desired: Desired) -> None:
        """What the hub wants of both halves from now on."""
        for job in (self.server, self.client):
            job.folder.write_desired(desired)

    def introduce(self, attempt: int = 1) -> None:
        """What the hub does: tell the client half where the server half listens, once it does."""

        def ready() -> dict[str, Any] | None:
            found = [json.loads(item.body) for item in self.server.spool.outbox() if item.kind == "ready"]
            assert self.server.folder.result() is None, self.server.folder.result()
            return next((one for one in found if one["attempt"] == attempt), None)

        told = wait_for(ready, seconds=150, what="the server half's address")
        pem = load_identity(self.server.home.keys).certificate_pem
        self.client.folder.write_peer(Peer(host=told["host"], port=told["port"], attempt=attempt, certificate_pem=pem))


def make_pair(folder: Path, *, training: Mapping[str, Any], **sections: Mapping[str, Any]) -> Pair:
    """Two enrolled, equipped workers whose jobs of one contract were admitted; `sections` of its configuration."""
    data, compute = enrolled_home(folder / "data"), _compute_home(folder / "compute")
    for home in (data, compute):
        model = ModelRegistry(home).add(BASE_MODEL, model_id="acme/tiny", revision="r1")
    identities = {"hospital-a": load_identity(data.keys), "gpu": load_identity(compute.keys)}
    contract = contract_for(data, message_bytes=1 << 24)
    contract["config"]["model"]["manifest"] = model.manifest_hash
    contract["config"] |= {"training": dict(training), **sections}
    for part in contract["participants"]:
        part["fingerprint"] = identities[part["party"]].fingerprint
    contract["participants"][0]["dataset_digest"] = _with_rows(data, folder / "rows.jsonl")
    with TrustBook.changing(data) as book:
        book.add(identities["gpu"].fingerprint, "compute")
    with TrustBook.changing(compute) as book:
        book.add(identities["hospital-a"].fingerprint, "data")
    pems = [identity.certificate_pem for identity in identities.values()]
    return Pair(
        _job(compute, assignment_for(contract, party="gpu", role="server", participant_id="prt_2", certificates=pems)),
        _job(data, assignment_for(contract, certificates=pems)),
    )


def _compute_home(folder: Path) -> WorkerHome:
    """The compute worker that `contract_for` names, listening on loopback."""
    home = enrolled_home(folder, kind="compute")
    config, port = WorkerConfig.load(home), free_port()
    changes = {"worker_id": "wrk_gpu", "worker_name": "gpu", "organisation_id": "org_gpu"}
    enrolment = config.enrolment.model_copy(update=changes)
    listening = {"tensor_bind": "127.0.0.1", "tensor_host": "127.0.0.1", "tensor_ports": (port, port)}
    config.model_copy(update={"enrolment": enrolment, **listening}).save(home)
    return home


def _with_rows(home: WorkerHome, file: Path) -> str:
    """Store forty rows of about three hundred tokens; returns the version's digest."""
    prompt = "name: " + "the blue spice " * 80
    rows = [{"prompt": f"{number} {prompt}", "completion": " It is near the river."} for number in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = DatasetStore(home.root)
    report = store.stage(file)
    metadata = store.propose(report.staged_id, "notes")
    store.confirm(report.staged_id, metadata)
    return metadata.digest


def _job(home: WorkerHome, assignment: Assignment) -> Job:
    folder, spool = JobFolder.of(home, "run_1", job_id_of(assignment)), Spool(home.spool_file)
    folder.create()
    spool.job_rung(
        job_id=job_id_of(assignment),
        run_id="run_1",
        participant_id=assignment.participant_id,
        kind="train",
        contract_hash=assignment.contract_hash,
        party=assignment.party,
    )
    return Job(home, folder, spool, assignment)
