"""No privileged action without an entry: found by walking the code, so that a new service can't leave it out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import webapp
from webapp.orgs.permissions import Action

ROOT = Path(webapp.__file__).parent
_ASKED_BY = {"require_stop": {Action.STOP_RUN}}  # what a helper asks for
# What each privileged service writes: a service whose entry is another's makes the log a lie, and fails here.
ENTRIES = {
    "accounts/services.py:token_create": "token.created",
    "accounts/services.py:token_revoke": "token.revoked",
    "datasets/services.py:dataset_offer": "dataset.offered",
    "datasets/services.py:dataset_offer_withdraw": "dataset.offer_withdrawn",
    "datasets/services.py:dataset_version_withdraw": "dataset.version_withdrawn",
    "datasets/tickets.py:upload_ticket_issue": "dataset.upload_ticket_issued",
    "fleet/enrolment.py:enrolment_token_create": "worker.token_created",
    "fleet/enrolment.py:enrolment_token_revoke": "worker.token_revoked",
    "fleet/services.py:worker_confirm": "worker.confirmed",
    "fleet/services.py:worker_quarantine": "worker.quarantined",
    "fleet/services.py:worker_release": "worker.released",
    "fleet/services.py:worker_revoke": "worker.revoked",
    "orgs/invitations.py:invite_person": "invitation.resent invitation.sent",
    "orgs/invitations.py:invite_partner": "invitation.resent invitation.sent",
    "orgs/invitations.py:invitation_resend": "invitation.resent invitation.sent",
    "orgs/invitations.py:invitation_revoke": "invitation.revoked",
    "orgs/invitations.py:invitation_accept_partner": "invitation.accepted project.joined",
    "orgs/services.py:organisation_update": "organisation.changed",
    "orgs/services.py:membership_role_change": "member.role_changed",
    "orgs/services.py:membership_deactivate": "member.deactivated",
    "orgs/services.py:membership_reactivate": "member.reactivated",
    "projects/services.py:project_create": "project.created",
    "projects/services.py:project_update": "project.changed",
    "projects/services.py:project_archive": "project.archived project.restored",
    "projects/services.py:participation_end": "project.left",
    "runs/services/approvals.py:run_submit": "run.submitted",
    "runs/services/audits.py:audit_request": "leakage.audit_requested",
    "runs/services/audits.py:audit_cancel": "leakage.audit_cancelled",
    "runs/services/approvals.py:approval_decide": "run.*",
    "runs/services/control.py:run_start": "run.started",
    "runs/services/control.py:run_pause": "run.paused",
    "runs/services/control.py:run_resume": "run.released run.resumed",
    "runs/services/control.py:run_stop": "run.stopped",
    "runs/services/control.py:run_archive": "run.archived run.unarchived",
    "runs/services/control.py:run_delete": "run.deleted",
    "runs/services/drafts.py:run_draft_save": "run.changed run.created",
    "runs/services/drafts.py:run_clone": "run.cloned",
}  # fmt: skip


@cache
def functions() -> dict[str, ast.FunctionDef]:
    """Every function of the hub outside its tests, by name."""
    found: dict[str, ast.FunctionDef] = {}
    for path in sorted(ROOT.rglob("*.py")):
        if {"tests", "migrations"} & set(path.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found[f"{path.relative_to(ROOT)}:{node.name}"] = node
    return found


def calls(node: ast.FunctionDef) -> set[str]:
    """Names of what a function calls, by the last word of each."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            function = inner.func
            names.add(function.id if isinstance(function, ast.Name) else getattr(function, "attr", ""))
    return names


def is_service(node: ast.FunctionDef) -> bool:
    return any(isinstance(mark, ast.Name) and mark.id == "service" for mark in node.decorator_list)


def actions_of(node: ast.FunctionDef) -> set[Action]:
    """The actions that a function asks for with `require` or `require_stop`."""
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "Action":
            found.add(Action[inner.attr])
    for name in calls(node) & _ASKED_BY.keys():
        found |= _ASKED_BY[name]
    return found


@cache
def records(key: str, depth: int = 4) -> bool:
    """Whether a function records an entry, itself or through what it calls (its own module's functions first)."""
    if key.endswith(":audit_record"):
        return True
    if depth == 0:
        return False
    module = key.split(":")[0]
    for name in calls(functions()[key]):
        if name == "audit_record":
            return True
        near = f"{module}:{name}"
        targets = [near] if near in functions() else [one for one in functions() if one.endswith(f":{name}")]
        if any(target != key and records(target, depth - 1) for target in targets[:3]):
            return True
    return False


def words(node: ast.AST) -> Iterator[str]:
    """Texts that look like an entry's name; what is told to a run's timeline is none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "timeline_event":
        return
    parts = [node] if isinstance(node, ast.Constant) else node.values if isinstance(node, ast.JoinedStr) else []
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
    if re.fullmatch(r"[a-z]+\.[a-z_*]+", text):
        yield text
    for inner in [] if isinstance(node, ast.JoinedStr) else ast.iter_child_nodes(node):
        yield from words(inner)


def names_of(key: str) -> set[str]:
    """The entries that a service names, itself or in the private functions of its module that it calls."""
    module = key.split(":")[0]
    near = {f"{module}:{name}" for name in calls(functions()[key]) if name.startswith("_")} & functions().keys()
    return {word for one in (key, *near) for word in words(functions()[one])}


def privileged() -> list[str]:
    """Services that ask whether somebody may."""
    return [key for key, node in functions().items() if is_service(node) and calls(node) & {"require", "require_stop"}]


def test_the_walk_finds_the_services() -> None:
    assert len(privileged()) > 25
    assert not records("audit/selectors.py:verify_chain")


@pytest.mark.parametrize("key", privileged())
def test_a_privileged_service_records_an_entry(key: str) -> None:
    assert records(key), f"{key} asks for a permission and records nothing in the audit log"


@pytest.mark.parametrize("action", sorted(Action))
def test_each_action_has_a_service_that_records_it(action: Action) -> None:
    askers = [key for key, node in functions().items() if action in actions_of(node) and records(key)]
    assert askers, f"no service that asks for {action.name} records an entry"


def test_a_privileged_service_writes_its_own_entry_and_no_others() -> None:
    assert {key: " ".join(sorted(names_of(key))) for key in privileged()} == ENTRIES
