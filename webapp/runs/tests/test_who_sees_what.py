"""What the matrix, its notes and the contract say of who sees what, by configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitcore.config import RunConfig
from splitcore.flows import Cast
from splitcore.flows.matrix import INVERSION
from splitcore.flows.sentences import sentences_of
from webapp.orgs.disclosure import data_party_matrix
from webapp.runs.configure.privacy import BARE_HEAD, Party, cut_warnings, who_sees_what
from webapp.runs.tests import factories as make


def test_a_bare_head_is_warned_of_and_the_matrix_says_that_labels_are_computable():
    config = RunConfig.parse(make.config(split={"tail_layers": 0}))
    assert cut_warnings(config) == [BARE_HEAD]
    matrix = who_sees_what(config, [Party("A", "client"), Party("G", "server")])
    labels = next(row for row in matrix["rows"] if row["label"] == "Labels")
    assert [cell["level"] for cell in labels["cells"]] == ["own", "yes", "no"]


@pytest.mark.parametrize(
    ("schedule", "client", "server", "sentence"),
    [
        ({}, "aggregate", "gradients in every step", "the sum of the head and tail adapters' gradients, in every step"),
        (
            {"mode": "splitfed_v1", "aggregate_every": 5},
            "aggregate",
            "weights every 5 steps",
            "the average of the head and tail adapters' weights (a round is 5 steps)",
        ),
        (
            {"mode": "sequential", "turn_steps": 3},
            "yes",
            "weights every 3 steps, handed on",
            "with their optimiser state",
        ),
        ({"mode": "sequential", "relay": False}, "own", "within the finished adapter, if a recipient", ""),
        ({"mode": "personalised"}, "own", "within the finished adapter, if a recipient", ""),
    ],
)
def test_the_matrix_and_the_contract_say_what_each_schedule_exchanges(schedule, client, server, sentence):
    config = RunConfig.parse(make.config(schedule=schedule))
    matrix = who_sees_what(config, [Party("A", "client"), Party("B", "client"), Party("G", "server")])
    cells = next(row for row in matrix["rows"] if row["label"] == "Head and tail adapters")["cells"]
    assert (cells[0]["level"], cells[2]["note"]) == (client, server)
    lines = " ".join(sentences_of(config, Cast({"a": "A", "b": "B"}, "G")))
    assert sentence in lines
    assert ("of the head and tail adapters" in lines) == bool(sentence)


def test_vanilla_says_that_labels_are_sent():
    config = RunConfig.parse(make.config(split={"topology": "vanilla"}))
    matrix = who_sees_what(config, [Party("A", "client"), Party("G", "server")])
    assert "receives the labels" in matrix["notes"][1]


def test_the_matrix_says_never_of_nothing_that_a_party_which_is_not_chosen_yet_will_see():
    config = RunConfig.parse(make.config())
    named = who_sees_what(config, [Party("A", "client"), Party("G", "server")])
    nobody = who_sees_what(config, [])
    assert nobody["parties"] == ["A data organisation", "The compute organisation", "Hub"]
    assert [row["cells"] for row in nobody["rows"]] == [row["cells"] for row in named["rows"]]
    assert who_sees_what(config, [Party("A", "client")])["parties"] == ["A", "The compute organisation", "Hub"]


def test_of_a_sum_of_two_data_organisations_the_matrix_says_that_each_learns_the_other_s():
    config = RunConfig.parse(make.config())
    parties = [Party("A", "client"), Party("B", "client"), Party("G", "server")]
    note = "With two data organisations, each learns the other's by subtraction."
    assert note in who_sees_what(config, parties)["notes"]
    assert note not in who_sees_what(config, [*parties, Party("C", "client")])["notes"]
    assert note not in who_sees_what(config, [parties[0], parties[2]])["notes"]


def test_every_page_says_the_same_of_what_was_recovered_from_activations():
    said = " ".join((Path(__file__).parents[3] / "docs" / "threat-model.md").read_text().split())
    assert INVERSION.partition(". ")[2] in said
    matrices = (who_sees_what(RunConfig.parse(make.config()), []), data_party_matrix())
    assert [INVERSION in " ".join(found["notes"]) for found in matrices] == [True, True]
