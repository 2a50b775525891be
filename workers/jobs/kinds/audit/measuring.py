"""The audit's own process: rows, base model and configuration of the contract, and nothing of the run's state."""

from __future__ import annotations

import hashlib
import os
import shutil

from splitcore.audit.portfolio import portfolio
from splitcore.audit.result import AuditResult
from splitcore.audit.run import audit
from splitcore.errors import AppError
from workers.contracts import AUDIT_SINCE, AuditSpec, spec_read
from workers.data.store import DatasetStore
from workers.jobs.setting import JobSetting
from workers.outbox.measurements import Measurements

NICENESS = 10  # a half that trains on the same cores goes first
PER_DAY = 24  # audits of one dataset, whoever asks for them, under whatever contracts


def run_audit(setting: JobSetting) -> AuditResult:
    """Measure what this party's rows would leak in a run of the contract.

    Raises AppError CL-1407, CL-1550, CL-1551, CL-1554, CL-1556, CL-12xx.
    """
    if setting.spec.assignment.kind_since < AUDIT_SINCE:
        raise AppError(
            "CL-1407",
            f"This hub can't read the figures of an audit of this worker: it needs protocol {AUDIT_SINCE}.",
            "Upgrade Cutlayer on the hub, or use cutlayer audit on the worker's machine.",
        )
    os.nice(NICENESS)
    asked = spec_read(setting.spec.assignment)
    assert isinstance(asked, AuditSpec)
    model = setting.registered_model
    if model.partial:
        raise AppError("CL-1554")
    store = DatasetStore(setting.home.root)
    stored = store.open(setting.own.dataset_digest)
    _count(setting)
    seed = own_seed(asked.seed, setting.spec.assignment.contract_hash, store.key)
    source = setting.config.model.model_copy(update={"name_or_path": str(model.folder), "revision": None})
    config = setting.config.for_party(setting.own.party).model_copy(update={"model": source})
    folder = setting.folder.out / "audit"
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that this machine broke off
    return audit(config, list(stored.train_rows()), folder, portfolio(asked.size), seed=seed)


def own_seed(asked: int, contract_hash: str, key: bytes) -> int:
    """The seed that draws the rows: under the site's own key, so that no hub can choose which rows are attacked.

    Nor can it have the same ones attacked under another contract, to compare what is read of them.
    """
    told = f"audit {asked} {contract_hash}".encode()
    return int.from_bytes(hashlib.blake2b(told, key=key, digest_size=4).digest(), "big") >> 1


def _count(setting: JobSetting) -> None:
    """Any hub can make up contracts and ask again and again. Raises AppError CL-1556."""
    taken = Measurements(setting.home.spool_file)
    if not taken.may_audit(dataset=setting.own.dataset_digest, job_id=setting.spec.job_id, limit=PER_DAY):
        raise AppError("CL-1556", f"This site audits one dataset at most {PER_DAY} times in 24 hours.")
