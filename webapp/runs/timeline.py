"""How the state machine writes on a run's timeline."""

from __future__ import annotations

from splitcore.errors import CATALOGUE
from webapp.runs.models import Participant, Run
from workers.contracts import ErrorInfo


def error_info(code: str, message: str = "", remedy: str = "") -> ErrorInfo:
    """An error of the catalogue, as events and failures carry it."""
    help_ = CATALOGUE[code]
    return ErrorInfo(code=code, message=message or help_.title, remedy=remedy or help_.remedy)


def timeline_event(
    run: Run, name: str, detail: str = "", *, error: ErrorInfo | None = None, participant: Participant | None = None
) -> None:
    """Store one event of the hub's own in the run's numbered records."""
    from webapp.telemetry.services import event_record  # telemetry imports this app's lifecycle

    event_record(run=run, name=name, detail=detail[:600], error=error, participant=participant)
    run.refresh_from_db(fields=["record_count"])
