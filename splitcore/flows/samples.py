"""The answers to the contract's public prompts."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import Degree, Flow, Part, Reveal, Thing
from splitcore.flows.reading import Reading


def flows(run: Reading) -> Iterator[Flow]:
    """None without public prompts."""
    if not run.cast.prompts:
        return
    yield Flow(
        Thing.ANSWERS,
        "the answers of the base and the tuned model to the public prompts",
        Part.FIRST,
        Part.RUN,
        "at each evaluation",
        reveals=(Reveal(Thing.ROWS, Degree.REPEATED, "A tuned model may repeat what it was trained on."),),
        only="where the contract has public prompts",
        seen="at each evaluation; a tuned model may repeat what it was trained on",
        records=frozenset({"sample"}),
    )
