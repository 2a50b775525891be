"""The hub's modules stand in no circle, and what stores files and records names no state of a run."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import networkx as nx

WEBAPP = Path(__file__).resolve().parents[2]
LIBRARIES = [
    WEBAPP / "adapters" / "card.py",
    WEBAPP / "adapters" / "models.py",
    *(WEBAPP / "adapters" / "services").glob("*.py"),
    *(WEBAPP / "telemetry").glob("*.py"),
]
STATES = {"RunState", "DesiredState", "states", "run_apply"}


def test_no_two_modules_of_the_hub_need_each_other() -> None:
    """Imports inside functions count: they only hide a circle."""
    graph = grimp.build_graph("webapp", cache_dir=None)
    modules = {name for name in graph.modules if ".tests" not in name and ".migrations" not in name}
    edges = [(one, other) for one in modules for other in graph.find_modules_directly_imported_by(one) & modules]
    assert len(edges) > 500
    circles = [sorted(found) for found in nx.strongly_connected_components(nx.DiGraph(edges)) if len(found) > 1]
    assert circles == []


def test_runs_adapters_and_telemetry_import_nothing_inside_a_function() -> None:
    found = []
    for app in ("runs", "adapters", "telemetry"):
        for path in (WEBAPP / app).rglob("*.py"):
            if "tests" in path.parts:
                continue
            functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
            for function in functions:
                inner = [one for one in ast.walk(function) if isinstance(one, ast.Import | ast.ImportFrom)]
                found += [f"{path.relative_to(WEBAPP)}: {function.name}" for _ in inner]
    assert found == []


def test_the_libraries_name_no_state_of_a_run() -> None:
    assert len(LIBRARIES) > 15
    named = {}
    for path in LIBRARIES:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        if names & STATES:
            named[path.name] = names & STATES
    assert named == {}
