"""How a job's own process takes up its job: what was admitted, and the site's whole check once more."""

from __future__ import annotations

from splitcore.errors import AppError
from workers.jobs.folder import JobFolder
from workers.jobs.report import Reporter
from workers.jobs.setting import JobSetting
from workers.ledger.book import Book
from workers.ledger.budget import budget_of
from workers.ledger.frames import FrameLedger
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.policy_review import Site, review
from workers.settings import WorkerConfig, WorkerHome


def opened(folder: JobFolder) -> JobSetting:
    """Read a job's folder, and let the site's whole check have the last word. Raises AppError CL-1425, CL-1509."""
    spec = folder.read_spec()
    home = WorkerHome.find(spec.home)
    worker, spool = WorkerConfig.load(home), Spool(home.spool_file)
    row, assignment = spool.job(spec.job_id), spec.assignment
    if row is None or (row.contract_hash, row.party) != (assignment.contract_hash, assignment.party):
        raise AppError("CL-1425", "This job was admitted with a different contract, or none.")
    contract, config, own = review(assignment, Site.load(home, worker, is_admitted=True)).passed()
    policy = SitePolicy.load(home.policy_file)
    frames = FrameLedger(
        Book(home.ledger_file),
        run_id=contract.run_id,
        job_id=spec.job_id,
        attempt=spec.attempt,
        budget=policy.egress_bytes_per_run,
        budget_now=lambda: budget_of(home),
        full=policy.ledger == "full",
    )
    return JobSetting(home, worker, folder, spec, contract, config, own, Reporter(spool, spec), spool, frames)
