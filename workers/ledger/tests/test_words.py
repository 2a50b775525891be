"""The book has plain words for everything that a flow declares."""

from __future__ import annotations

from splitcore.flows.table import example_flows
from workers.ledger.book import HUB, Line
from workers.ledger.summary import WORDS, words_of


def test_every_message_between_the_halves_has_words_of_its_own() -> None:
    labels = {
        f"{one.kind}:{one.phase}" if one.phase else str(one.kind) for flow in example_flows() for one in flow.carried
    }
    fallback = {label for label in labels if label not in WORDS}
    assert fallback == set()
    assert len({words_of(Line("run", "gpu", label)) for label in labels}) == len(labels)


def test_a_greeting_between_halves_is_not_the_workers_hello_to_the_hub() -> None:
    assert words_of(Line("run", "gpu", "hello")) != words_of(Line("run", HUB, "hello"))
