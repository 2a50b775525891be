"""The check of a joined adapter: that it loads. Every key must have its place and every value must be finite."""

from __future__ import annotations

from pathlib import Path

from workers.contracts import Check, EvaluationResult, Phase, VerifyReport
from workers.jobs.kinds.verify.bound import take_place
from workers.jobs.kinds.verify.loading import base_check, fetch_adapter, keys_check, terms_of
from workers.jobs.setting import JobSetting
from workers.models_registry import ModelRegistry, RegisteredModel


def run_verify(setting: JobSetting) -> None:
    """Check the adapter and queue the report. Raises AppError where the check itself cannot be made."""
    setting.reporter.phase(Phase.VERIFYING)
    _, _, checks = load_checks(setting)
    post_report(setting, checks)


def load_checks(setting: JobSetting) -> tuple[RegisteredModel, Path, list[Check]]:
    """The base model, the adapter that was fetched, and whether the one fits the other. Raises AppError."""
    take_place(setting)
    model = setting.base_model()
    adapter = fetch_adapter(setting)
    checks = [
        base_check(model, ModelRegistry(setting.home).manifest(model.manifest_hash)),
        keys_check(model.folder, adapter, terms_of(setting)),
    ]
    return model, adapter, checks


def post_report(setting: JobSetting, checks: list[Check], evaluation: EvaluationResult | None = None) -> None:
    """Queue what was found."""
    assignment = setting.spec.assignment
    setting.spool.post(
        run_id=assignment.run_id,
        participant_id=assignment.participant_id,
        kind="verified",
        attempt=setting.spec.attempt,
        body=VerifyReport(
            participant_id=assignment.participant_id,
            adapter_id=assignment.adapter_id,
            adapter_sha256=assignment.adapter_sha256,
            checks=checks,
            evaluation=evaluation,
        ),
    )
