"""The archive that people download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from webapp.adapters.card import model_card
from webapp.adapters.models import Adapter
from webapp.adapters.services.archives import checksums
from webapp.adapters.services.segments import media_path
from webapp.adapters.services.tokenizer import tokenizer_files
from webapp.runs.contract import config_agreed
from webapp.telemetry.exports import metrics_csv


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
    entries["training_config.yaml"] = config_agreed(run).to_yaml().encode()
    entries["metrics.csv"] = "".join(metrics_csv(run)).encode()
    entries["provenance.json"] = (json.dumps(provenance(adapter), indent=2, sort_keys=True) + "\n").encode()
    entries["SHA256SUMS"] = checksums(entries)
    return entries
