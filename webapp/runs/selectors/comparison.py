"""What differs between runs: who took part, on which data, with which settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webapp.runs.configure.forms import to_text
from webapp.runs.configure.schema import FieldSpec, field_specs, specs_by_path
from webapp.runs.configure.values import is_chosen, value_at
from webapp.runs.models import ParticipantRole, Run
from webapp.runs.selectors.tables import trained_by
from webapp.runs.words import listed

_PINNED = ("model.manifest", "model.revision")  # told apart by the base model's own row


@dataclass(frozen=True)
class Difference:
    """A quantity in which the runs differ, with a value for each of them."""

    label: str
    values: list[str]
    path: str = ""


def differences(runs: list[Run]) -> list[Difference]:
    """Everything in which the runs differ; a field that one leaves at its default counts as that default."""
    rows = [*_parts(runs), *_settings(runs)]
    return [row for row in rows if len(set(row.values)) > 1]


def _parts(runs: list[Run]) -> list[Difference]:
    rows = [
        Difference("Trained by", [trained_by(run) for run in runs]),
        Difference("Measured only by", [_organisations(run, ParticipantRole.EVALUATOR) for run in runs]),
        Difference("Compute worker", [_workers(run, ParticipantRole.SERVER) for run in runs]),
    ]
    everybody = {p.organisation_id: p.organisation.name for run in runs for p in run.participants.all()}
    return rows + [
        Difference(f"Dataset of {name}", [_datasets(run, organisation_id) for run in runs])
        for organisation_id, name in sorted(everybody.items(), key=lambda item: item[1])
    ]


def _organisations(run: Run, role: str) -> str:
    return listed(p.organisation.name for p in run.participants.all() if p.role == role) or "–"


def _workers(run: Run, role: str) -> str:
    return listed(f"{p.worker.name} of {p.organisation.name}" for p in run.participants.all() if p.role == role) or "–"


def _datasets(run: Run, organisation_id: str) -> str:
    versions = [
        p.dataset_version for p in run.participants.all() if p.organisation_id == organisation_id and p.dataset_version
    ]
    return listed(f"{version.dataset.name} v{version.number}" for version in versions) or "–"


def _settings(runs: list[Run]) -> list[Difference]:
    rows = [
        Difference(_label(spec), [_setting(run, spec) for run in runs], spec.path)
        for spec in field_specs()
        if spec.path not in _PINNED
    ]
    own = sorted({name for run in runs for name in (run.config.get("parties") or {})})
    rows += [
        Difference(f"Own values of {name}", [_text((run.config.get("parties") or {}).get(name)) for run in runs])
        for name in own
    ]
    return [*rows, Difference("Public prompts", [_text(run.public_prompts) for run in runs])]


def _label(spec: FieldSpec) -> str:
    """A field's label, with its method's or defence's before it."""
    owner = specs_by_path()[spec.within].label if spec.listed and spec.within else ""
    return f"{owner}: {spec.label}" if owner else spec.label


def _setting(run: Run, spec: FieldSpec) -> str:
    """A run's value; none of a strategy that it has not chosen."""
    return _text(to_text(spec, value_at(run.config, spec))) if is_chosen(run.config, spec) else "–"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)
