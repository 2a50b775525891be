"""What a live page starts from: state, curves, timeline, samples and logs, with the number they reach to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from webapp.runs.models import Run
from webapp.telemetry.selectors import parties_of, record_json, records_visible_to
from webapp.telemetry.series import series_of
from webapp.telemetry.state import state_json

if TYPE_CHECKING:
    from webapp.accounts.models import User

_NEWEST = {"events": (("event", "phase"), 500), "samples": (("sample",), 20), "logs": (("log",), 200)}


def snapshot(*, user: User, run: Run) -> dict[str, Any]:
    """The snapshot for a person who may see the run."""
    return {**newest_of(user=user, run=run), "series": series_of(run)}


def newest_of(*, user: User, run: Run) -> dict[str, Any]:
    """The snapshot without its curves, which cost a read of every step.

    The number is read before anything else: a record stored meanwhile comes again as a delta, and none is missed.
    """
    seq = Run.objects.values_list("record_count", flat=True).get(pk=run.pk)
    parties = parties_of(run)
    lists = {}
    for name, (kinds, count) in _NEWEST.items():
        rows = records_visible_to(user, run).filter(kind__in=kinds, seq__lte=seq).order_by("-seq")[:count]
        lists[name] = [record_json(record=row, run=run, parties=parties) for row in reversed(rows)]
    now = timezone.now().isoformat()
    return {"seq": seq, "now": now, **state_json(user=user, run=run), **lists}
