"""No privileged action without an entry: found by walking the code, so that a new service can't leave it out."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import webapp
from webapp.orgs.permissions import Action

ROOT = Path(webapp.__file__).parent
_ASKED_BY = {"require_stop": {Action.STOP_RUN}}  # what a helper asks for


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
