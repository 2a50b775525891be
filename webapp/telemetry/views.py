"""A run's live data over HTTP: snapshot, back-fill and exports."""

from __future__ import annotations

from django.http import HttpResponseBase, JsonResponse
from django.views.decorators.http import require_GET

from splitcore.bounds import COUNT_MAX
from webapp.accounts.sessions import by_password_alone
from webapp.core.streaming import stream_response
from webapp.orgs.http import MemberRequest, member_required
from webapp.runs.live.feed import delta_for, message_of
from webapp.runs.selectors import run_get_for
from webapp.telemetry.exports import CSV
from webapp.telemetry.exports import metrics_csv as csv_lines
from webapp.telemetry.exports import metrics_json as json_lines
from webapp.telemetry.selectors import PAGE
from webapp.telemetry.snapshot import snapshot as snapshot_of


def number_of(text: str | None, default: int) -> int:
    """A number from a query, or its default."""
    try:
        return min(max(0, int(text or default)), COUNT_MAX)
    except ValueError:
        return default


@require_GET
@member_required
def snapshot(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """What the page starts from."""
    run = run_get_for(user=request.user, run_id=run_id)
    return JsonResponse(snapshot_of(user=request.user, run=run))


@require_GET
@member_required
def records(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """The records after `since`, and the state."""
    run = run_get_for(user=request.user, run_id=run_id)
    since, limit = number_of(request.GET.get("since"), 0), number_of(request.GET.get("limit"), PAGE)
    by_password = by_password_alone(request.session)
    delta = delta_for(user_id=request.user.pk, by_password=by_password, run_id=run.pk, since=since, limit=limit)
    return JsonResponse(message_of(delta) if delta else {})


@require_GET
@member_required
def metrics_csv(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """All metrics and evaluations as CSV."""
    run = run_get_for(user=request.user, run_id=run_id)
    return stream_response(csv_lines(run), content_type=CSV, filename=f"{run.id}-metrics.csv")


@require_GET
@member_required
def metrics_json(request: MemberRequest, run_id: str) -> HttpResponseBase:
    """All metrics and evaluations as JSON."""
    run = run_get_for(user=request.user, run_id=run_id)
    return stream_response(json_lines(run), content_type="application/json", filename=f"{run.id}-metrics.json")
