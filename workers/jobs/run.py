"""A job's own process: `python -m workers.jobs.run JOBDIR`. The only one of a worker that loads torch."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from processes.redaction import redact_logs
from splitcore.errors import AppError
from workers.contracts import Phase
from workers.errors import error_info
from workers.jobs.folder import EXIT_DISK, JobFolder, JobResult
from workers.jobs.kinds.registry import kind_of
from workers.jobs.lines import failure_line
from workers.jobs.opening import opened
from workers.jobs.setting import JobSetting

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Run the job in a folder; returns the exit status. Whatever goes wrong becomes a numbered result."""
    redact_logs()
    # what a library plans for its next version is nothing for the people who read this log
    warnings.simplefilter("ignore", FutureWarning)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    folder = JobFolder(Path(arguments[0]).resolve())
    try:
        result = _work(opened(folder))
    except BaseException as error:  # the process ends with it: KeyboardInterrupt and SystemExit are results too
        log.exception("the job failed")  # the raw text stays in this machine's job.log
        result = JobResult(outcome="failed", error=error_info(error))
    try:
        folder.write_result(result)
    except OSError as error:
        log.error("the result could not be written: %s", type(error).__name__)
        return EXIT_DISK
    return 0 if result.outcome != "failed" else 1


def _work(setting: JobSetting) -> JobResult:
    try:
        return _carried_out(setting)
    except BaseException as error:
        if kind_of(setting.spec.assignment).tells_phases:
            with suppress(AppError, sqlite3.Error):  # a newer attempt, a full disk: the result tells it
                setting.reporter.log(failure_line(error_info(error).code))
        raise


def _carried_out(setting: JobSetting) -> JobResult:
    kind = kind_of(setting.spec.assignment)
    if kind.tells_phases:
        setting.reporter.phase(Phase.STARTING)
    _set_threads(setting.worker.torch_threads)
    return kind.run(setting)


def _set_threads(count: int) -> None:
    if count:
        import torch

        torch.set_num_threads(count)
        os.environ["OMP_NUM_THREADS"] = str(count)  # of a process that this one starts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
