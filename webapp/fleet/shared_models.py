"""Which base models several workers hold alike: the same weights, under one revision, with one layout."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from splitcore.planning.shape import ModelShape
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


def shared_shape(rows: Sequence[WorkerModel]) -> ModelShape | None:
    """The layout of the model of these rows, on which all workers that have measured it agree.

    None where nobody has measured it (older workers), or two differ: one of them is wrong, and nobody knows which.
    """
    told = [row.shape for row in rows if row.shape is not None]
    if not told or any(shape != told[0] for shape in told):
        return None
    try:
        return ModelShape.model_validate(told[0])
    except ValidationError:  # what another version of the hub has stored
        return None
