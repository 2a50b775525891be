"""REST operations of `telemetry`: what a run's page shows, for programs."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from ninja import Query, Router

from splitcore.bounds import COUNT_MAX
from webapp.accounts.api_auth import READ_AUTH, ApiRequest
from webapp.core.streaming import stream_response
from webapp.runs.selectors import run_get_for
from webapp.telemetry.exports import CSV, metrics_csv
from webapp.telemetry.selectors import PAGE, records_page
from webapp.telemetry.snapshot import snapshot

router = Router(tags=["telemetry"])


@router.get("/{pub:run_id}/snapshot", auth=READ_AUTH)
def get_snapshot(request: ApiRequest, run_id: str) -> dict[str, Any]:
    """State, lanes, curves, timeline, samples and own logs, and the number that they reach to."""
    return snapshot(user=request.user, run=run_get_for(user=request.user, run_id=run_id))


@router.get("/{pub:run_id}/records", auth=READ_AUTH)
def list_records(
    request: ApiRequest, run_id: str, since: int = Query(0, ge=0, le=COUNT_MAX), limit: int = Query(PAGE, ge=1, le=PAGE)
) -> dict[str, Any]:
    """The records after `since`; ask again from `seq` while it is below `last`."""
    run = run_get_for(user=request.user, run_id=run_id)
    page = records_page(user=request.user, run=run, since=since, limit=limit)
    return {"records": page.records, "from": page.since, "seq": page.through, "last": page.last}


@router.get("/{pub:run_id}/metrics.csv", auth=READ_AUTH)
def get_metrics(request: ApiRequest, run_id: str) -> StreamingHttpResponse:
    """All metrics and evaluations at full resolution."""
    run = run_get_for(user=request.user, run_id=run_id)
    return stream_response(metrics_csv(run), content_type=CSV, filename=f"{run.id}-metrics.csv")
