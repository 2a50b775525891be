"""Which base models several workers hold alike: the same weights, under one revision."""

from __future__ import annotations

from collections.abc import Sequence

from webapp.fleet.models import WorkerModel


def shared_models(
    rows: Sequence[WorkerModel], *, manifest: str | None = None, revision: str | None = None
) -> list[str]:
    """The manifests that all workers of these rows hold, each under one revision; only those asked for, if any are.

    A manifest's hash covers the revision. Where two workers name different ones for it, one of them is wrong, and the
    others would refuse the contract only after everybody had approved it.
    """
    workers = {row.worker_id for row in rows}
    held: dict[str, list[WorkerModel]] = {}
    for row in rows:
        held.setdefault(row.manifest_hash, []).append(row)
    return sorted(
        found
        for found, alike in held.items()
        if {row.worker_id for row in alike} == workers
        and len({row.revision for row in alike}) == 1
        and manifest in (None, found)
        and revision in (None, alike[0].revision)
    )


def who_holds_which(rows: Sequence[WorkerModel]) -> str:
    """Each worker with the revisions and manifests under which it holds the model. Rows come with their worker."""
    told: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: (row.worker.name, row.worker_id, row.created_at)):
        named = f"revision {row.revision[:40]}" if row.revision else "no revision"
        told.setdefault(row.worker.name, []).append(f"{named} (manifest {row.manifest_hash[:8]})")
    return "; ".join(f"{name} has {' and '.join(held[:3])}" for name, held in told.items())
