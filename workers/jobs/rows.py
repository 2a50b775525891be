"""The rows of the dataset that the contract gives this site: to train on, and held out."""

from __future__ import annotations

from typing import Any

from splitcore.data.sampling import hold_out
from splitcore.errors import AppError
from workers.data.store import DatasetStore
from workers.jobs.lines import rows_line
from workers.jobs.setting import JobSetting


def rows_of(setting: JobSetting) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to train on and held-out rows of the contract's dataset version. Raises AppError CL-1223, CL-1205."""
    stored = DatasetStore(setting.home.root).open(setting.own.dataset_digest)
    train, held = list(stored.train_rows()), list(stored.heldout_rows())
    if not train:
        raise AppError("CL-1205")
    if not held and setting.config.data.eval_fraction:
        train, held = hold_out(train, setting.config.data.eval_fraction)
    setting.reporter.log(rows_line(len(train), len(held)))
    return train, held
