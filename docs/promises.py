"""The table of promises at the end of threat-model.md: each with its tests and its figure, from the tests' own marks.

A test says `@pytest.mark.promise(7, figure="…")`. The marks are read from the sources, so that writing the table starts
no test. A promise without a test stands there as what it is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("threat-model.md")
HEADING = "## The promises\n"
NOTE = (
    "Written by `make docs` from the marks on the tests (`@pytest.mark.promise`); a test compares them. A promise "
    "without a test is not made: it says so. Number 4 does not exist. Figures are what the named test asserts, or what "
    "[benchmarks.md](benchmarks.md) measured."
)
FOLDERS = ("splitcore", "processes", "interface", "workers", "webapp", "demo", "supply_chain", "tests")
LATER = {13: "comes with privacy", 31: "comes with speed", 33: "comes with speed"}
NO_TEST = "no test yet: not promised"

PROMISES = {
    1: "No object of another organisation can be read or written: every route, method and role",
    2: "No live message reaches another organisation",
    3: "A worker reaches only its own jobs",
    5: "An enrolment token works once, for 60 minutes, and is stored as a hash",
    6: "Revocation cuts a worker off at once, live connections included",
    7: "A recorded request or frame that is sent again changes nothing",
    8: "Guessing passwords and tokens is throttled",
    9: "Raw rows never leave the data site: wire, hub, logs, checkpoints, error paths",
    10: "Errors and tracebacks carry no data",
    11: "All that leaves is counted and bounded, and the site can read it",
    12: "The site policy is enforced at the worker, against a hub that lies",
    13: "Leakage is measured at the chosen cut and shown before a start",
    14: "No code comes over the wire",
    15: "The frame parser survives hostile input",
    16: "Poisoned values never reach the weights",
    17: "A wrong shape, number type or session is refused before memory is taken",
    18: "Oversized messages are refused",
    19: "A bad network gives the same weights as a good one",
    20: "TLS only, both ends verified, older versions and foreign certificates refused",
    21: "A killed client half loses no step: the run ends with the same bytes",
    22: "A killed server half, or both, likewise",
    23: "The checkpoints of both halves always agree",
    24: "Each optimiser step is applied once",
    25: "A killed hub stops no job",
    26: "A killed or emptied Redis loses no job",
    27: "A network that is gone for half a minute costs that time and nothing else",
    28: "A worker that lost its lease cannot write",
    29: "*Stop* stops within seconds and keeps a checkpoint",
    30: "A full disk, too little memory and a wrong clock end in a clear state with nothing lost",
    31: "500 live pages with 2 updates per second",
    32: "200 idle agents on one hub",
    33: "20 runs at once at one compute site",
    34: "Memory and descriptors stay flat over many runs and kills",
    35: "The deployment check has no warning; CSP, HSTS and cookies are set",
    36: "CSRF on every unsafe view, Origin on every socket",
    37: "Hostile uploads are refused, and nothing is written outside their folder",
    38: "Nobody's input makes the hub or a worker fetch an address",
    39: "The audit log is complete, and tampering shows",
    40: "Secrets are stored as hashes, seeds of second factors encrypted, none is in a log; packages come by hash",
}


@dataclass(frozen=True)
class Mark:
    """One test's mark."""

    number: int
    figure: str
    file: str
    test: str


def marks() -> list[Mark]:
    """The marks of all tests and benchmarks, in the order of their files."""
    paths = [
        path for folder in FOLDERS for path in sorted((REPO / folder).rglob("*.py")) if "node_modules" not in path.parts
    ]
    return [
        mark
        for path in paths
        if "promise" in (text := path.read_text(encoding="utf-8"))
        for mark in marks_in(path, text)
    ]


def marks_in(path: Path, text: str) -> Iterator[Mark]:
    """The marks of one file."""
    file = str(path.relative_to(REPO)) if path.is_relative_to(REPO) else path.name
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.promise":
                [number] = [ast.literal_eval(one) for one in decorator.args]
                figure = next((ast.literal_eval(one.value) for one in decorator.keywords if one.arg == "figure"), "")
                yield Mark(number, figure, file, node.name)


def table(found: list[Mark]) -> str:
    """The section with the table, ending with a newline."""
    lines = ["| # | promise | test | figure |", "| --- | --- | --- | --- |"]
    for number, promise in PROMISES.items():
        mine = [mark for mark in found if mark.number == number]
        tests = "<br>".join(f"`{mark.file}::{mark.test}`" for mark in mine)
        figures = "; ".join(dict.fromkeys(mark.figure for mark in mine if mark.figure))
        standing = tests or LATER.get(number, NO_TEST)
        lines.append(f"| {number} | {promise} | {standing} | {figures.replace('|', '/')} |")
    return "\n".join([HEADING, NOTE, "", *lines]) + "\n"


def page() -> str:
    """threat-model.md as it stands, with the table made anew."""
    written = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    return f"{written.rstrip()}\n\n{table(marks())}"
