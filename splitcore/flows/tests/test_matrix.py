"""The matrix of who sees what says of every run what its flows say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import pytest

from splitcore.config import RunConfig
from splitcore.flows import Cast, Degree, Flow, Part, Thing, anyone, flows_of, standing_flows
from splitcore.flows.declare import side_of
from splitcore.flows.matrix import Cell, Column, Party, columns_of, matrix
from splitcore.flows.table import example_flows, general_flows, general_key, messages_table, short_table
from splitcore.flows.tests.combinations import runs

PARTIES = [
    Party("A", "client", True),
    Party("B", "client", False),
    Party("G", "server", False),
    Party("E", "evaluator"),
]
COLUMNS = columns_of(PARTIES)
SEES = ("yes", "aggregate", "noised")


def config_of(**sections: object) -> RunConfig:
    return RunConfig.parse({"model": {"name_or_path": "m"}, **sections})


def cells(flows: list[Flow], columns: list[Column] = COLUMNS) -> dict[tuple[str, str], Cell]:
    """(thing, organisation) → what it sees."""
    made = matrix(flows, columns)
    return {
        (row["label"], name): cell
        for row in made["rows"]
        for name, cell in zip(made["parties"], row["cells"], strict=True)
    }


@cache
def distinct_runs() -> list[tuple[list[Flow], dict[tuple[str, str], Cell]]]:
    """The flows of each run of two data parties, once, with their matrix."""
    distinct = {run.flows for run in runs() if len(run.cast.clients) == 2}
    return [(list(flows), cells(list(flows))) for flows in distinct]


def reached(part: Part) -> set[str]:
    """The organisations of PARTIES at this end of a flow."""
    if part is Part.RECIPIENTS:
        return {"A"}
    return {column.name for column in COLUMNS if column.roles & part.roles}


def test_whoever_receives_something_is_said_to_see_it() -> None:
    for flows, seen in distinct_runs():
        for flow in flows:
            for name in reached(flow.receiver) if flow.receiver is not Part.CLIENT else ():
                assert seen[flow.thing, name]["level"] in (*SEES, "own"), (flow, name)


def test_whoever_is_said_to_see_something_receives_it_makes_it_or_can_tell_it_for_certain() -> None:
    for flows, seen_by in distinct_runs():
        ways: set[tuple[str, str]] = set()
        for flow in flows:
            ends = reached(flow.receiver) | reached(flow.sender)
            certain = {one.thing for one in flow.reveals if one.degree in (Degree.CONTAINED, Degree.COMPUTABLE)}
            ways |= {(thing, name) for thing in {flow.thing, *certain} for name in ends}
        seen = {place for place, cell in seen_by.items() if cell["level"] in SEES}
        assert seen <= ways, seen - ways


def test_the_hub_sees_no_text_no_labels_and_no_tensors_of_the_cut() -> None:
    for _, seen in distinct_runs():
        for thing in (Thing.ROWS, Thing.LABELS, Thing.ACTIVATIONS, Thing.CUT_GRADIENTS, Thing.LOGS):
            assert thing not in {row for row, _ in seen} or seen[thing, "Hub"]["level"] == "no"


@pytest.mark.parametrize(
    ("split", "labels", "rows"),
    [
        ({}, "indirect", "indirect"),
        ({"tail_layers": 0}, "yes", "indirect"),
        ({"head_layers": 0}, "indirect", "yes"),
        ({"topology": "vanilla"}, "yes", "yes"),
    ],
)
def test_what_the_compute_organisation_can_tell_of_labels_and_text(
    split: dict[str, object], labels: str, rows: str
) -> None:
    seen = cells(flows_of(config_of(split=split), anyone()))
    assert (seen[Thing.LABELS, "G"]["level"], seen[Thing.ROWS, "G"]["level"]) == (labels, rows)


def test_what_a_protection_adds_noise_to_is_seen_with_noise_only_where_all_of_it_has_noise() -> None:
    flows = [replace(flow, is_noised=flow.thing is Thing.ACTIVATIONS) for flow in flows_of(config_of(), anyone())]
    assert cells(flows)[Thing.ACTIVATIONS, "G"]["level"] == "noised"
    flows = [replace(flow, is_noised=flow.what.endswith("first cut")) for flow in flows]
    assert cells(flows)[Thing.ACTIVATIONS, "G"]["level"] == "yes"


def test_an_organisation_that_is_all_by_itself_shows_nothing_to_anybody_but_the_hub() -> None:
    columns = columns_of([Party("A", "client"), Party("A", "server")])
    seen = cells(flows_of(config_of(split={"tail_layers": 0}), Cast({"a": "A"}, "A")), columns)
    own = {Thing.ROWS, Thing.LABELS, Thing.ACTIVATIONS, Thing.CUT_GRADIENTS, Thing.ENDS, Thing.BODY, Thing.SIZES}
    assert {thing for thing in own if seen[thing, "A"]["level"] == "own"} == own


def test_the_general_table_has_each_flow_of_every_run_once() -> None:
    of_runs = {general_key(flow) for run in runs() for flow in run.flows}
    expected = sorted([*of_runs, *map(general_key, standing_flows())])
    assert sorted(map(general_key, general_flows())) == expected


def test_the_table_of_messages_has_all_that_some_run_may_send() -> None:
    def entries(flows: Iterable[Flow]) -> set[tuple[str, str, str]]:
        found = set()
        for flow in flows:
            for one in flow.carried:
                names = {"", *one.fields, *(tensor.name for tensor in one.tensors)}
                found |= {(str(side_of(flow)), f"{one.kind}:{one.phase}", name) for name in names}
        return found

    of_runs = entries(flow for run in runs() for flow in run.flows)
    assert entries(example_flows()) == of_runs
    assert len(messages_table().splitlines()) == 2 + len({place[:2] for place in of_runs})


def test_the_short_table_says_that_rows_go_to_nobody_and_labels_in_vanilla_alone() -> None:
    lines = short_table().splitlines()
    [rows] = [line for line in lines if line.startswith("| Rows of text | nobody |")]
    assert "activations at the first cut" in rows
    [labels] = [line for line in lines if line.startswith("| Labels |")]
    assert "compute organisation (in the `vanilla` topology)" in labels
