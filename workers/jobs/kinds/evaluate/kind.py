"""`evaluate`: the joined adapter is loaded, and measured on this site's own held-out rows."""

from __future__ import annotations

from typing import ClassVar

from workers.contracts import Phase
from workers.jobs.folder import JobResult
from workers.jobs.kinds.verify.kind import Verify
from workers.jobs.setting import JobSetting


class Evaluate(Verify):
    """What `verify` does, and then base and tuned model on the held-out rows."""

    name: ClassVar[str] = "evaluate"
    is_beside = False  # it wants the GPU and the memory of a whole model, which a half that trains may hold: it waits

    def run(self, setting: JobSetting) -> JobResult:
        """Check and measure the adapter, and queue the report."""
        from workers.jobs.kinds.evaluate.checking import run_evaluate

        run_evaluate(setting)
        setting.reporter.phase(Phase.DONE)
        return JobResult(outcome="done")
