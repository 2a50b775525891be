"""What is trained, on its way to those who get it."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import Degree, Flow, Part, Reveal, Thing
from splitcore.flows.reading import Reading

END = "at the end"
JOINED = Reveal(
    Thing.RESULT,
    Degree.CONTAINED,
    "The hub joins the parts and keeps the adapter.",
    "it joins the parts and keeps the result",
)
REPEATS = Reveal(Thing.ROWS, Degree.REPEATED, "Like any fine-tuned model, it may repeat what it was trained on.")


def flows(run: Reading) -> Iterator[Flow]:
    """Of every run."""
    for thing, what, sender in (
        (Thing.ENDS, "its head and tail adapter", Part.CLIENT),
        (Thing.BODY, "its body adapter", Part.SERVER),
    ):
        yield Flow(
            thing,
            what,
            sender,
            Part.HUB,
            END,
            reveals=(JOINED,),
            seen="at the end, to join them",
            requests=frozenset({"segment"}),
        )
    yield Flow(
        Thing.TOKENIZER,
        "the base model's tokenizer, for the adapter's archive",
        Part.FIRST,
        Part.HUB,
        END,
        seen="for the adapter's archive",
        requests=frozenset({"tokenizer"}),
    )
    yield Flow(
        Thing.RESULT,
        "the finished adapter, as an archive",
        Part.HUB,
        Part.RECIPIENTS,
        END,
        reveals=(
            Reveal(
                Thing.ENDS, Degree.CONTAINED, "It contains every part of the adapter.", "within the finished adapter"
            ),
            Reveal(
                Thing.BODY, Degree.CONTAINED, "It contains every part of the adapter.", "within the finished adapter"
            ),
            REPEATS,
        ),
        seen="a recipient may download it",
        requests=frozenset({"adapter_archive"}),
    )
