"""What an invited organisation and a visitor are told of who sees what: all that leaves in a run of the defaults."""

from __future__ import annotations

import pytest

from splitcore.flows import anyone, flows_of, standing_flows
from webapp.orgs.disclosure import DEFAULT, matrix_for
from webapp.orgs.models import PartyKind


def levels(kind: str) -> dict[str, list[str]]:
    return {row["label"]: [cell["level"] for cell in row["cells"]] for row in matrix_for(kind)["rows"]}


@pytest.mark.parametrize("kind", PartyKind.values)
def test_everything_that_leaves_has_a_row_and_a_receiver(kind: str) -> None:
    told = levels(kind)
    for flow in [*flows_of(DEFAULT, anyone()), *standing_flows()]:
        assert set(told[flow.thing]) & {"yes", "aggregate"}, flow.thing


def test_everyone_reads_the_answers_to_public_prompts_and_the_figures() -> None:
    told = levels(PartyKind.DATA)
    assert set(told["Answers to the public prompts"]) == set(told["Losses, times, byte counts"]) == {"yes"}


def test_the_compute_organisation_gets_no_text_but_what_can_be_turned_back_into_it() -> None:
    rows, activations = (levels(PartyKind.DATA)[label] for label in ("Rows of text", "Activations"))
    assert (rows[1], activations[1]) == ("indirect", "yes")
    assert rows[2:] == ["own", "no"]
