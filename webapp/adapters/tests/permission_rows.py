"""Who gets what from the routes of `adapters`."""

from __future__ import annotations

from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.services.segments import media_path
from webapp.orgs.tests.permission_table import Row, World, admins, builds, members, shared
from webapp.runs.models import Run, RunState
from webapp.runs.services import PartyChoice, run_draft_save
from webapp.runs.tests import factories as make

ADAPTER = {"adapter_id": "adapter"}


@builds
def build(world: World) -> None:
    """A verified adapter whose recipient is the own organisation alone."""
    data = make.WorkerFactory(organisation=world.own)
    version = make.dataset_version(data, world.project)
    run = run_draft_save(
        actor=world.users["admin"],
        project=world.project,
        organisation=world.own,
        name="With an adapter",
        config=make.config(),
        parties=[PartyChoice("client", data.id, version.id)],
    )
    Run.objects.filter(pk=run.pk).update(state=RunState.DONE)
    archive = media_path("permission/adapter.zip")
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(b"PK")
    world.ids["adapter"] = Adapter.objects.create(
        run=run, state=AdapterState.READY, archive="permission/adapter.zip"
    ).pk


ROWS = [
    Row("adapters:detail", {"GET": shared()}, ADAPTER),
    Row("adapters:download", {"GET": shared(302), "POST": admins(200, partner=403)}, ADAPTER),
    Row("GET /api/v1/adapters", {"GET": members(anonymous=401)}, kind="api"),
    Row("GET /api/v1/adapters/{adapter_id}", {"GET": shared(anonymous=401)}, ADAPTER, kind="api"),
    Row(
        "GET /api/v1/adapters/{adapter_id}/download",
        {"GET": admins(200, partner=403, anonymous=401)},
        ADAPTER,
        kind="api",
    ),
]
