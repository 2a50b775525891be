"""How a run's life shows: entries on its timeline, and the bells of those who look at it."""

from __future__ import annotations

from splitcore.errors import CATALOGUE
from webapp.core.live import notify_org, notify_run
from webapp.runs.models import Participant, Run
from webapp.telemetry.services import event_record
from workers.contracts import ErrorInfo, HubEvent


def error_info(code: str, message: str = "", remedy: str = "") -> ErrorInfo:
    """An error of the catalogue, as events and failures carry it."""
    help_ = CATALOGUE[code]
    return ErrorInfo(code=code, message=message or help_.title, remedy=remedy or help_.remedy)


def timeline_event(
    run: Run,
    name: HubEvent,
    detail: str = "",
    *,
    error: ErrorInfo | None = None,
    participant: Participant | None = None,
) -> None:
    """Store one event of the hub's own in the run's numbered records."""
    event_record(run=run, name=name, detail=detail[:600], error=error, participant=participant)
    run.refresh_from_db(fields=["record_count"])


def run_announce(run: Run) -> None:
    """Ring whoever looks at the run or at the lists of an organisation in it."""
    notify_run(run.id, run.record_count)
    organisations = {run.organisation_id, *run.participants.values_list("organisation_id", flat=True)}
    for organisation_id in organisations:
        notify_org(organisation_id, "run", run.id)
