"""The check of a joined adapter at a site with rows: it is loaded as anybody would load it, and measured.

Plain PEFT on the full local base model answers the site's own held-out rows, once without and once with the adapter.
Numbers leave the machine, rows and answers do not.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from workers.contracts import Check, EvaluationResult, Phase
from workers.jobs.kinds.evaluate.measuring import measure_adapter
from workers.jobs.kinds.verify.checking import load_checks, post_report
from workers.jobs.setting import JobSetting
from workers.models_registry import RegisteredModel

MEMORY_FACTOR = 1.5  # bytes needed for a byte of weights


def run_evaluate(setting: JobSetting) -> None:
    """Check the adapter, measure it, queue the report. Raises AppError where the check itself cannot be made."""
    setting.reporter.phase(Phase.VERIFYING)
    model, adapter, checks = load_checks(setting)
    evaluation = None
    if all(check.status != "failed" for check in checks) and setting.own.dataset_digest:
        evaluation, more = _evaluation(setting, model, adapter)
        checks += more
    post_report(setting, checks, evaluation)


def _evaluation(
    setting: JobSetting, model: RegisteredModel, adapter: Path
) -> tuple[EvaluationResult | None, list[Check]]:
    """The figures, where this machine can hold the whole model."""
    if model.partial:
        return None, [_not_measured("This machine only has its own part of the base model.")]
    if psutil.virtual_memory().available < MEMORY_FACTOR * model.bytes:
        return None, [_not_measured("This machine can't hold the full model.")]
    setting.reporter.phase(Phase.EVALUATING)
    return measure_adapter(setting, model.folder, adapter)


def _not_measured(detail: str) -> Check:
    return Check(name="Evaluation", status="warning", detail=detail)
