"""What is told of held-out rows, while a run trains and of the adapter that comes out."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import Degree, Flow, Part, Reveal, Thing
from splitcore.flows.reading import Reading

WITH_LABELS = "where rows have labels"


def flows(run: Reading) -> Iterator[Flow]:
    """Of every run; the hidden states of held-out rows cross like those of others."""
    yield Flow(
        Thing.FIGURES,
        "the loss on its held-out rows",
        Part.CLIENT,
        Part.RUN,
        "at each evaluation",
        seen="numbers only",
        records=frozenset({"eval"}),
    )
    if run.tells_labels:
        yield Flow(
            Thing.FIGURES,
            "accuracy and macro-F1 of the labels of its held-out rows, of eight rows or more",
            Part.CLIENT,
            Part.RUN,
            "at each evaluation",
            only=WITH_LABELS,
            seen="numbers only",
            requests=frozenset({"telemetry"}),  # in the record of the loss
        )
    yield Flow(
        Thing.RESULT,
        "the finished adapter, to load and evaluate it",
        Part.HUB,
        Part.MEASURING,
        "at the end",
        reveals=(
            Reveal(
                Thing.ENDS, Degree.CONTAINED, "It contains every part of the adapter.", "within the finished adapter"
            ),
            Reveal(
                Thing.BODY, Degree.CONTAINED, "It contains every part of the adapter.", "within the finished adapter"
            ),
        ),
        seen="not a recipient; its worker loads it to evaluate it",
    )
    yield Flow(
        Thing.FIGURES,
        "losses and shares of exact answers on its held-out rows, with and without the adapter",
        Part.MEASURING,
        Part.RUN,
        "at the end",
        seen="numbers only",
        requests=frozenset({"verified"}),
    )
