"""Who gets what from the routes of `fleet`: pages, REST, the worker API and the sockets."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from webapp.fleet.models import EnrolmentToken, WorkerState
from webapp.fleet.tests.factories import make_worker
from webapp.orgs.tests.permission_table import Row, World, admins, builds, expect, members, private, public

BUTTON = expect(302, 405, 405, 405, 405)  # a GET of what takes POST alone
UNSIGNED = public(401)
WORKER = {"worker_id": "worker"}
PENDING = {"worker_id": "pending_worker"}
TOKEN = {"token_id": "enrolment_token"}
ROUTE = {"run_id": "=run_0123456789abcdef"}


@builds
def build(world: World) -> None:
    """A working, a waiting and a suspended worker, and an open token."""
    world.ids["worker"] = make_worker(world.own, name="steady").row.pk
    pending = make_worker(world.own, name="waiting", state=WorkerState.PENDING).row
    world.ids |= {"pending_worker": pending.pk, "pending_fingerprint": pending.fingerprint}
    world.ids["quarantined_worker"] = make_worker(world.own, name="odd", state=WorkerState.QUARANTINED).row.pk
    world.ids["enrolment_token"] = EnrolmentToken.objects.create(
        organisation=world.own,
        created_by=world.users["admin"],
        token_hash="0" * 64,
        worker_name="to come",
        kind="data",
        expires_at=timezone.now() + timedelta(hours=1),
    ).pk


NEW = {"name": "ward-9", "kind": "data", "labels": "gpu"}
FINGERPRINT = {"fingerprint": "{pending_fingerprint}"}


def _action(route: str, status: int = 200) -> dict:
    return {route.split(" ", 1)[0]: admins(status, anonymous=401)}


def _api(route: str, params: dict, data: dict | None = None) -> Row:
    return Row(route, _action(route), params, {"POST": data} if data else {}, kind="api")


PAGES = [
    Row("fleet:workers", {"GET": members()}),
    Row("fleet:enrol", {"GET": members(), "POST": expect(302, 200, 403, 403, 200)}, data={"POST": NEW}),
    Row("fleet:enrolment", {"GET": private()}, TOKEN),
    Row("fleet:enrolment_revoke", {"GET": BUTTON, "POST": admins()}, TOKEN),
    Row("fleet:worker", {"GET": private()}, WORKER),
    Row("fleet:edit", {"GET": admins(200), "POST": admins()}, WORKER, {"POST": {"name": "renamed", "labels": ""}}),
    Row("fleet:confirm", {"GET": BUTTON, "POST": admins()}, PENDING, {"POST": FINGERPRINT}),
    Row("fleet:quarantine", {"GET": BUTTON, "POST": admins()}, WORKER),
    Row("fleet:release", {"GET": BUTTON, "POST": admins()}, {"worker_id": "quarantined_worker"}),
    Row("fleet:revoke", {"GET": BUTTON, "POST": admins()}, WORKER, {"POST": {"typed": "steady"}}),
]
REST = [
    Row("GET /api/v1/workers", {"GET": members(anonymous=401)}, kind="api"),
    Row("GET /api/v1/workers/enrolment-tokens", {"GET": members(anonymous=401)}, kind="api"),
    Row(
        "POST /api/v1/workers/enrolment-tokens",
        {"POST": expect(401, 201, 403, 403, 201)},
        data={"POST": {"name": "ward-9", "kind": "data"}},
        kind="api",
    ),
    _api("POST /api/v1/workers/enrolment-tokens/{token_id}/revoke", TOKEN),
    Row("GET /api/v1/workers/{worker_id}", {"GET": private(anonymous=401)}, WORKER, kind="api"),
    _api("POST /api/v1/workers/{worker_id}/confirm", PENDING, FINGERPRINT),
    _api("POST /api/v1/workers/{worker_id}/quarantine", WORKER),
    _api("POST /api/v1/workers/{worker_id}/release", {"worker_id": "quarantined_worker"}),
    _api("POST /api/v1/workers/{worker_id}/revoke", WORKER),
]
WORKER_API = [
    Row("worker:enrol", {"GET": public(405), "POST": public(422)}, kind="worker"),
    *(
        Row(f"worker:{name}", {"POST": UNSIGNED}, kind="worker")
        for name in ("rotate", "leave", "datasets", "models", "witness")
    ),
    Row("worker:assignments", {"GET": UNSIGNED}, kind="worker"),
    *(
        Row(f"worker:{name}", {"POST": UNSIGNED}, ROUTE, kind="worker")
        for name in ("verdict", "claim", "ready", "telemetry", "exit", "verified")
    ),
    Row("worker:segment", {"PUT": public(422)}, {**ROUTE, "name": "=head"}, kind="worker"),
    Row("worker:tokenizer", {"PUT": public(422)}, {**ROUTE, "name": "=manifest.json"}, kind="worker"),
    Row("worker:adapter_archive", {"GET": UNSIGNED}, {**ROUTE, "adapter_id": "=adp_0123456789abcdef"}, kind="worker"),
]
SOCKETS = [
    Row("ws/worker/", {"WS": public(4401)}, kind="worker"),
    Row("ws/fleet/", {"WS": members(101, anonymous=4401)}),
]
ROWS = [*PAGES, *REST, *WORKER_API, *SOCKETS]
