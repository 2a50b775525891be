"""Who gets what from the routes of `datasets`."""

from __future__ import annotations

from webapp.datasets.models import Dataset
from webapp.datasets.services import dataset_register
from webapp.datasets.tests.metadata import metadata
from webapp.fleet.tests.factories import make_worker
from webapp.orgs.tests.factories import ProjectFactory
from webapp.orgs.tests.permission_table import Row, World, admins, builds, expect, members, private, shared

BUTTON = expect(302, 405, 405, 405, 405)  # a GET of what takes POST alone
DATASET = {"dataset_id": "dataset"}
PRIVATE = {"dataset_id": "private_dataset"}
PROJECT = {"project_id": "project"}


@builds
def build(world: World) -> None:
    """A dataset that is offered to the shared project, one that is not, and a second project of the own."""
    worker = make_worker(world.own, name="holder", console_url="http://127.0.0.1:8733").row
    offered = dataset_register(worker=worker, metadata=metadata(name="Offered")).dataset
    offered.projects.add(world.project)
    world.ids |= {"dataset": offered.pk, "data_worker": worker.pk}
    dataset_register(worker=worker, metadata=metadata(name="Kept"))
    world.ids["private_dataset"] = Dataset.objects.get(name="Kept").pk
    world.ids["own_project"] = ProjectFactory(owner=world.own, created_by=world.users["admin"]).pk


ROWS = [
    Row("datasets:list", {"GET": members()}),
    Row("datasets:new", {"GET": members()}),
    Row("datasets:upload", {"GET": BUTTON, "POST": admins(200)}, {"worker_id": "data_worker"}),
    Row("datasets:detail", {"GET": shared()}, DATASET),
    Row(
        "datasets:offer", {"GET": BUTTON, "POST": admins(partner=404)}, PRIVATE, {"POST": {"project": "{own_project}"}}
    ),
    Row("datasets:offer_withdraw", {"GET": BUTTON, "POST": admins(partner=403)}, {**DATASET, **PROJECT}),
    Row("datasets:version_withdraw", {"GET": BUTTON, "POST": admins(partner=403)}, {**DATASET, "number": "=1"}),
    Row("GET /api/v1/datasets", {"GET": members(anonymous=401)}, kind="api"),
    Row("GET /api/v1/datasets/{dataset_id}", {"GET": private(anonymous=401)}, PRIVATE, kind="api"),
    Row(
        "POST /api/v1/datasets/{dataset_id}/offers",
        {"POST": admins(200, anonymous=401)},
        PRIVATE,
        {"POST": {"project": "{own_project}"}},
        kind="api",
    ),
    Row(
        "DELETE /api/v1/datasets/{dataset_id}/offers/{project_id}",
        {"DELETE": admins(200, partner=403, anonymous=401)},
        {**DATASET, **PROJECT},
        kind="api",
    ),
]
