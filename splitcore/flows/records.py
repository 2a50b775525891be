"""What the hub is told of a run while it goes on, and whom it tells."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.flow import STEPS, Degree, Flow, Part, Reveal, Thing
from splitcore.flows.ends import MEETING
from splitcore.flows.reading import Reading
from splitcore.flows.schedule import OCCURS

COUNTED = "Token counts reveal the average row length."


def flows(run: Reading) -> Iterator[Flow]:
    """Of every run."""
    yield from _figures()
    yield from _course()


def _figures() -> Iterator[Flow]:
    yield Flow(
        Thing.FIGURES,
        "losses, gradient norms, learning rates, token counts, times and byte counts",
        Part.WORKER,
        Part.RUN,
        STEPS,
        reveals=(
            Reveal(Thing.SIZES, Degree.CONTAINED, COUNTED, "token counts, among the figures"),
            Reveal(Thing.NORMS, Degree.CONTAINED, COUNTED, "among the figures"),
        ),
        seen="numbers only",
        records=frozenset({"metric"}),
        requests=frozenset({"telemetry"}),
    )
    yield Flow(
        Thing.FIGURES,
        "what a leakage audit of its own rows read, as shares, which the hub only shows to its own organisation",
        Part.CLIENT,
        Part.HUB,
        "when its organisation asks for an audit and its site allows audits",
        seen="numbers only",
        requests=frozenset({"exit"}),
    )


def _course() -> Iterator[Flow]:
    yield Flow(
        Thing.COURSE,
        "phases and typed events",
        Part.WORKER,
        Part.RUN,
        OCCURS,
        records=frozenset({"phase", "event"}),
    )
    yield Flow(
        Thing.COURSE,
        "standard log messages, which the hub only shows to the worker's own organisation",
        Part.WORKER,
        Part.HUB,
        OCCURS,
        records=frozenset({"log"}),
    )
    yield Flow(
        Thing.COURSE,
        "its claim of the job, how the job ended, and its policy's verdict on the contract",
        Part.WORKER,
        Part.HUB,
        OCCURS,
        requests=frozenset({"claim", "exit", "verdict", "assignments", "beat"}),
    )
    yield Flow(
        Thing.COURSE,
        "the address of its tensor port, passed on to the data organisations",
        Part.SERVER,
        Part.HUB,
        MEETING,
        requests=frozenset({"ready"}),
    )
    yield Flow(
        Thing.COURSE,
        "the contract and the participants' certificates",
        Part.HUB,
        Part.WORKER,
        "for review, and at the start of each attempt",
    )
