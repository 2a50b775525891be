"""A run whose segments are uploaded and joined."""

from __future__ import annotations

import hashlib
from typing import Any

from webapp.adapters.models import Adapter, Segment
from webapp.runs.finishing.joining import adapter_join
from webapp.runs.finishing.uploads import segment_store
from webapp.runs.kinds.checks import adapter_verified
from webapp.runs.models import RunState
from webapp.runs.tests import factories as make
from workers.contracts import Check, EvaluationResult, SegmentUpload, VerifyReport

CUTS = {"head": range(0, 2), "body": range(2, 4), "tail": range(4, 6)}


def upload(
    w: make.World, place: int, name: str, body: bytes | None = None, *, sha256: str | None = None, attempt: int = 1
) -> Segment:
    """Store the segment of one part, or these bytes in its place."""
    party = w.part(place).party
    body = make.segment_bytes(w, name, party, CUTS[name]) if body is None else body
    told = SegmentUpload(
        participant_id=w.part(place).id, attempt=attempt, sha256=sha256 or hashlib.sha256(body).hexdigest()
    )
    return segment_store(worker=w.workers[place], run_id=w.run.id, name=name, upload=told, stream=[body])


def finished() -> tuple[make.World, Adapter]:
    """A run whose parts are done; the joined adapter waits for its checks."""
    w = trained()
    return w, w.run.adapters.get()


def trained(**kwargs: Any) -> make.World:
    """The same, with as many adapters as its configuration asks for."""
    w = make.started(**kwargs)
    w.fresh()
    for place, names in ((0, ("head", "tail")), (1, ("head", "tail")), (2, ("body",))):
        for name in names:
            upload(w, place, name)
    for place in range(3):
        make.exit_part(w, place, "done")
    assert w.fresh().state == RunState.FINISHING
    adapter_join(w.run.id)
    return w


def report(w: make.World, place: int, adapter: Adapter, *, status: str = "ok", evaluation: bool = True) -> None:
    """One part's worker tells that it has loaded the joined adapter, and what it measured."""
    result = EvaluationResult(base_loss=4.0, base_exact_match=0.1, loss=2.0, exact_match=0.6, rows=10, tokens=100)
    told = VerifyReport(
        participant_id=w.part(place).id,
        adapter_id=adapter.id,
        adapter_sha256=adapter.sha256,
        checks=[Check(name="every key matched", status=status, detail="12 of 12")],
        evaluation=result if evaluation else None,
    )
    adapter_verified(worker=w.workers[place], run_id=w.run.id, report=told)
