"""Who gets what of a run's live data."""

from __future__ import annotations

from webapp.orgs.tests.permission_table import Row, World, builds, expect, shared
from webapp.runs.models import Run, RunState
from webapp.telemetry.services import event_record

RUN = {"run_id": "watched_run"}


@builds
def build(world: World) -> None:
    """A run of the shared project."""
    run = Run.objects.create(
        project=world.project,
        organisation=world.own,
        created_by=world.users["admin"],
        name="Watched",
        state=RunState.TRAINING,
    )
    event_record(run=run, name="run.training")
    world.ids["watched_run"] = run.pk


ROWS = [
    *(
        Row(f"telemetry:{name}", {"GET": shared()}, RUN)
        for name in ("snapshot", "records", "metrics_csv", "metrics_json")
    ),
    *(
        Row(f"GET /api/v1/runs/{{run_id}}/{name}", {"GET": shared(anonymous=401)}, RUN, kind="api")
        for name in ("snapshot", "records", "metrics.csv")
    ),
    Row("ws/runs/<str:run_id>/", {"WS": expect(4401, 4404, 101, 101, 101, partner_admin=101)}, RUN),
]
