"""The audit's own process: rows, base model and configuration of the contract, and nothing of the run's state."""

from __future__ import annotations

import os
import shutil

from splitcore.audit.portfolio import portfolio
from splitcore.audit.result import AuditResult
from splitcore.audit.run import audit
from splitcore.errors import AppError
from workers.contracts import AuditSpec, spec_read
from workers.data.store import DatasetStore
from workers.jobs.setting import JobSetting

NICENESS = 10  # a half that trains on the same cores goes first


def run_audit(setting: JobSetting) -> AuditResult:
    """Measure what this party's rows would leak in a run of the contract. Raises AppError CL-1550, 1551, 1554, 12xx."""
    os.nice(NICENESS)
    asked = spec_read(setting.spec.assignment)
    assert isinstance(asked, AuditSpec)
    model = setting.registered_model
    if model.partial:
        raise AppError("CL-1554")
    stored = DatasetStore(setting.home.root).open(setting.own.dataset_digest)
    source = setting.config.model.model_copy(update={"name_or_path": str(model.folder), "revision": None})
    config = setting.config.for_party(setting.own.party).model_copy(update={"model": source})
    folder = setting.folder.out / "audit"
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that this machine broke off
    return audit(config, list(stored.train_rows()), folder, portfolio(asked.size), seed=asked.seed)
