"""One step of a live feed: what a page gets next, or that it may no longer get anything."""

from __future__ import annotations

from typing import Any

from webapp.accounts.sessions import person_of_session
from webapp.runs.life.recovering import can_continue
from webapp.runs.selectors import runs_visible_to
from webapp.runs.states import ENDED
from webapp.telemetry.selectors import PAGE, records_page
from webapp.telemetry.state import state_json


def delta_for(*, user_id: str, by_password: bool, run_id: str, since: int, limit: int = PAGE) -> dict[str, Any] | None:
    """The records after `since` and the state; None for a run that the person cannot see (any more).

    Visibility is asked anew with every step, so that a membership that ended ends the feed.
    """
    user = person_of_session(user_id=user_id, by_password=by_password)
    run = runs_visible_to(user).filter(pk=run_id).first() if user else None
    if user is None or run is None:
        return None
    page = records_page(user=user, run=run, since=since, limit=limit)
    state = state_json(user=user, run=run)
    return {
        "records": page.records,
        "from": page.since,
        "seq": page.through,
        "last": page.last,
        **state,
        # A run that can be resumed is over for nobody who looks at it: its page follows.
        "ended": run.state in ENDED and page.through >= page.last and not can_continue(run),
    }


def message_of(delta: dict[str, Any]) -> dict[str, Any]:
    """A delta as a message: the state rides also at the end of the records, without a number."""
    state = {"kind": "state", "payload": {"run": delta["run"], "lanes": delta["lanes"]}}
    return {"type": "records", **delta, "records": [*delta["records"], state]}
