"""Who gets what from the routes of `runs`."""

from __future__ import annotations

from webapp.orgs.tests.permission_table import Row, World, admins, builds, expect, members, private, shared
from webapp.runs.models import Run, RunState
from webapp.runs.services import PartyChoice, run_clone, run_draft_save, run_submit
from webapp.runs.tests import factories as make

SUBMITTED, DRAFT, APPROVED = {"run_id": "submitted_run"}, {"run_id": "draft_run"}, {"run_id": "approved_run"}
TRAINING, PAUSED, DONE = {"run_id": "training_run"}, {"run_id": "paused_run"}, {"run_id": "done_run"}
# The partner's administrator decides and stops for the own organisation, whose worker is in these runs, and configures
# runs of its own; the runs of others it neither changes nor starts.
NO_GET = expect(302, 405, 405, 405, 405)
OWN_PART = expect(302, 404, 404, 403, 302)
DECISION = {"contract_hash": "{contract_hash}", "decision": "approve"}
NEW = {"project": "{project}", "name": "New", "config": {"model": {"name_or_path": make.MODEL}}}


@builds
def build(world: World) -> None:
    """Runs of the own organisation with the partner's compute worker, in several states."""
    admin = world.users["admin"]
    data, compute = (
        make.WorkerFactory(organisation=world.own),
        make.WorkerFactory(organisation=world.partner_organisation, kind="compute"),
    )
    version = make.dataset_version(data, world.project)
    draft = run_draft_save(
        actor=admin,
        project=world.project,
        organisation=world.own,
        name="Draft",
        config=make.config(),
        parties=[PartyChoice("client", data.id, version.id), PartyChoice("server", compute.id)],
    )
    world.ids["draft_run"], world.ids["draft_version"] = draft.id, str(draft.draft_version)
    states = [RunState.APPROVED, RunState.TRAINING, RunState.PAUSED, RunState.DONE]
    for state in [RunState.AWAITING, *states]:
        run = run_clone(actor=admin, run=draft, organisation=world.own)
        run_submit(actor=admin, run=run)
        if state in states:
            Run.objects.filter(pk=run.pk).update(state=state)
        name = "submitted" if state == RunState.AWAITING else str(state.value)
        world.ids[f"{name}_run"] = run.id
        if state == RunState.TRAINING:
            world.ids["training_part"] = run.participants.get(role="client").id
        if state == RunState.AWAITING:
            world.ids["contract_hash"] = Run.objects.get(pk=run.pk).contract_hash


def _post(name: str, params: dict[str, str], allowed: dict[str, int], **more: dict[str, object]) -> Row:
    return Row(f"POST /api/v1/runs/{{run_id}}/{name}", {"POST": allowed}, params, {"POST": more}, kind="api")


def _api_admins(status: int = 200, *, partner: int = 403, partner_admin: int | None = None) -> dict[str, int]:
    return admins(status, partner=partner, anonymous=401, partner_admin=partner_admin)


ROWS = [
    Row("runs:inbox", {"GET": members()}),
    Row("runs:list", {"GET": members()}),
    Row("runs:compare", {"GET": members()}),
    Row(
        "runs:new",
        {"GET": expect(302, 200, 403, 403, 200), "POST": expect(302, 404, 403, 403, 302, partner_admin=302)},
        data={"POST": {"project": "{project}", "name": "New", "action": "save"}},
    ),
    Row(
        "runs:preview",
        {"GET": NO_GET, "POST": expect(302, 404, 403, 403, 200, partner_admin=200)},
        data={"POST": {"project": "{project}", "name": "New"}},
    ),
    Row("runs:detail", {"GET": shared()}, SUBMITTED),
    Row(
        "runs:edit",
        {"GET": admins(200), "POST": admins()},
        DRAFT,
        {"POST": {"name": "x", "action": "save", "version": "{draft_version}"}},
    ),
    *(Row(f"runs:{name}", {"GET": shared()}, SUBMITTED) for name in ("live", "logs", "config", "privacy")),
    Row("runs:artefacts", {"GET": shared()}, DONE),
    Row("runs:approvals", {"GET": shared()}, SUBMITTED),
    Row("runs:decide", {"GET": NO_GET, "POST": admins(partner=403, partner_admin=302)}, SUBMITTED, {"POST": DECISION}),
    Row("runs:clone", {"GET": NO_GET, "POST": admins(partner=403, partner_admin=302)}, SUBMITTED),
    Row("runs:delete", {"GET": NO_GET, "POST": admins()}, DRAFT),
    Row(
        "runs:control",
        {"GET": NO_GET, "POST": admins(partner=403, partner_admin=302)},
        {**SUBMITTED, "action": "=stop"},
    ),
    Row("runs:audit", {"GET": NO_GET, "POST": OWN_PART}, {**TRAINING, "part_id": "training_part"}),
    Row(
        "runs:audit_report",
        {"GET": expect(302, 404, 404, 404, 404)},  # there is none yet
        {**TRAINING, "part_id": "training_part", "subject": "=none"},
    ),
    Row("runs:audit_cancel", {"POST": OWN_PART}, {**TRAINING, "part_id": "training_part", "subject": "=none"}),
    Row(
        "POST /api/v1/runs/{run_id}/audits/{subject}/cancel",
        {"POST": expect(401, 404, 400, 400, 400)},  # there is none yet
        {**TRAINING, "subject": "=none"},
        kind="api",
    ),
    Row("GET /api/v1/runs/{run_id}/audits", {"GET": shared(anonymous=401)}, TRAINING, kind="api"),
    _post("audits", TRAINING, expect(401, 404, 400, 403, 202)),
    Row("GET /api/v1/runs", {"GET": members(anonymous=401)}, kind="api"),
    Row(
        "POST /api/v1/runs",
        {"POST": expect(401, 404, 403, 403, 201, partner_admin=201)},
        data={"POST": NEW},
        kind="api",
    ),
    Row(
        "POST /api/v1/runs/estimate",
        {"POST": shared(anonymous=401)},
        data={"POST": {"project": "{project}"}},
        kind="api",
    ),
    Row(
        "GET /api/v1/runs/parties",
        {"GET": shared(anonymous=401)},
        data={"GET": {"project": "{project}"}},
        kind="api",
    ),
    Row("GET /api/v1/runs/{run_id}", {"GET": private(anonymous=401)}, DRAFT, kind="api"),
    Row(
        "PATCH /api/v1/runs/{run_id}",
        {"PATCH": _api_admins(partner=404)},
        DRAFT,
        {"PATCH": {"name": "Other"}},
        kind="api",
    ),
    _post("submit", DRAFT, _api_admins(partner=404)),
    _post("approve", SUBMITTED, _api_admins(partner_admin=200), contract_hash="{contract_hash}"),  # type: ignore[arg-type]
    _post("decline", SUBMITTED, _api_admins(partner_admin=200), contract_hash="{contract_hash}", reason="No."),  # type: ignore[arg-type]
    _post("start", APPROVED, _api_admins()),
    _post("stop", TRAINING, _api_admins(partner_admin=200)),
    _post("pause", TRAINING, _api_admins(partner_admin=200)),
    _post("resume", PAUSED, _api_admins()),
    _post("archive", DONE, _api_admins()),
    _post("clone", DONE, _api_admins(201, partner_admin=201)),
    Row(
        "GET /api/v1/runs/{run_id}/adapter",
        {"GET": expect(401, 404, 409, 409, 409)},
        DONE,
        kind="api",
    ),
]
