"""The archive that people download, and the end of the run."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from splitcore.config import RunConfig
from webapp.adapters.card import model_card
from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.services.archives import checksums, write_zip
from webapp.adapters.services.checking import checks_open
from webapp.adapters.services.segments import media_path
from webapp.adapters.services.tokenizer import tokenizer_files
from webapp.core.transactions import service
from webapp.runs.locking import run_lock
from webapp.runs.models import DesiredState, Run, RunState
from webapp.runs.states import run_move
from webapp.runs.timeline import timeline_event
from webapp.telemetry.exports import metrics_csv
from workers.contracts import Phase

CHECK_DEADLINE = timedelta(minutes=15)


def provenance(adapter: Adapter) -> dict[str, Any]:
    """Where the adapter comes from: contract, approvals, segments, checks."""
    run = adapter.run
    return {
        "hub_version": settings.CUTLAYER_VERSION,
        "run": run.id,
        "adapter": adapter.id,
        "party": adapter.party,
        "contract_hash": run.contract_hash,
        "contract": json.loads(run.contract) if run.contract else None,
        "approvals": [
            {
                "organisation": approval.organisation.name,
                "state": approval.state,
                "decided_at": approval.decided_at.isoformat() if approval.decided_at else None,
            }
            for approval in run.approvals.filter(contract_hash=run.contract_hash).select_related("organisation")
        ],
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "joined_at": adapter.created_at.isoformat(),
        "segments": adapter.provenance.get("segments", []),
        "files": adapter.provenance.get("files", {}),
        "tokenizer": adapter.provenance.get("tokenizer", {}),
        "load_checks": list(adapter.reports.values()),
        "evaluation": adapter.evaluation,
    }


def package_entries(adapter: Adapter) -> dict[str, bytes | Path]:
    """The archive's files by name; the joined ones as they were verified."""
    run = adapter.run
    folder = media_path(adapter.folder)
    entries: dict[str, bytes | Path] = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    stored = tokenizer_files(run.id)
    entries |= {name: stored[name] for name in adapter.provenance.get("tokenizer", {}) if name in stored}
    entries["README.md"] = model_card(adapter).encode()
    entries["training_config.yaml"] = RunConfig.parse(run.config).to_yaml().encode()
    entries["metrics.csv"] = "".join(metrics_csv(run)).encode()
    entries["provenance.json"] = (json.dumps(provenance(adapter), indent=2, sort_keys=True) + "\n").encode()
    entries["SHA256SUMS"] = checksums(entries)
    return entries


def run_overdue(run: Run) -> bool:
    """Whether the load checks have had their time."""
    return timezone.now() - run.state_since > CHECK_DEADLINE


def adapter_package(run_id: str) -> None:
    """Build the archives of a finishing run whose checks are in (or overdue), and end the run. Safe to repeat."""
    run = Run.objects.filter(pk=run_id, state=RunState.FINISHING).first()
    if run is None or not run.adapters.exists() or (checks_open(run) and not run_overdue(run)):
        return
    built: dict[str, tuple[str, str, int]] = {}
    for adapter in run.adapters.filter(state=AdapterState.READY).select_related("run"):
        archive = str(Path(adapter.folder).with_suffix(".zip"))
        built[adapter.id] = (archive, *write_zip(media_path(archive), package_entries(adapter)))
    _complete(run_id, built)


@service
def _complete(run_id: str, built: dict[str, tuple[str, str, int]]) -> None:
    run = run_lock(run_id)
    if run.state != RunState.FINISHING:
        return
    notes = []
    for adapter in run.adapters.all():
        if adapter.id in built:
            adapter.archive, adapter.sha256, adapter.bytes = built[adapter.id]
            adapter.save(update_fields=["archive", "sha256", "bytes", "updated_at"])
        else:
            notes.append("No worker has loaded the adapter, so it cannot be downloaded.")
    missing = [
        p.organisation.name for p in run.participants.select_related("organisation") if _unreported(run, p.id, p)
    ]
    if missing:
        notes.append(f"No evaluation came from {', '.join(sorted(set(missing)))}.")
    run.summary = {**run.summary, **_final(run), "notes": notes}
    run.participants.filter(phase__in=[Phase.VERIFYING, Phase.EVALUATING]).update(
        phase=Phase.DONE.value, phase_since=timezone.now()
    )
    run.desired = DesiredState.STOPPED
    run.save(update_fields=["summary", "desired", "updated_at"])
    for note in notes:
        timeline_event(run, "run.note", note)
    run_move(run, RunState.DONE, detail="The adapter is verified." if built else "The run has ended.")


def _unreported(run: Run, participant_id: str, participant: Any) -> bool:
    return bool(participant.dataset_version_id) and not any(participant_id in a.reports for a in run.adapters.all())


def _final(run: Run) -> dict[str, Any]:
    """Steps, seconds of training and the evaluation table, as the summary keeps them."""
    table: dict[str, Any] = {}
    for adapter in run.adapters.all():
        table |= {
            party: result
            for party, result in adapter.evaluation.items()
            if party not in table or party == adapter.party
        }
    start = run.training_at or run.started_at
    seconds = (run.state_since - start).total_seconds() if start else 0.0  # it was moved to finishing then
    return {"steps": run.step, "seconds": round(seconds, 3), "evaluation": table}
