"""Who sees what: a row for each kind of thing, a column for each organisation, worked out from the flows of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from splitcore.flow import Degree, Flow, Part, Reveal, Thing
from splitcore.flows.cast import Cast

Level = Literal["yes", "indirect", "own", "noised", "aggregate", "no"]

HOLDERS: dict[Thing, frozenset[str]] = {
    Thing.ROWS: frozenset({"client", "evaluator"}),
    Thing.LABELS: frozenset({"client", "evaluator"}),
    Thing.SIZES: frozenset({"client", "evaluator"}),
    Thing.ACTIVATIONS: frozenset({"client"}),
    Thing.CUT_GRADIENTS: frozenset({"client"}),
    Thing.ENDS: frozenset({"client"}),
    Thing.NORMS: frozenset({"client"}),
    Thing.BODY: frozenset({"server"}),
    Thing.KEYS: frozenset({"client"}),
    Thing.TOKENIZER: frozenset({"client", "server", "evaluator"}),
    Thing.METADATA: frozenset({"client", "evaluator"}),
    Thing.WORKERS: frozenset({"client", "server", "evaluator"}),
    Thing.LOGS: frozenset({"client", "server", "evaluator"}),
}
HINTS: dict[Thing, str] = {
    Thing.ROWS: "prompts and completions",
    Thing.LABELS: "the tokens to be predicted",
    Thing.SIZES: "padding masks, row counts and token counts",
    Thing.ACTIVATIONS: "what the layers before a cut compute",
    Thing.ENDS: "what the data organisations train",
    Thing.BODY: "what the compute organisation trains",
    Thing.KEYS: "from which each two data organisations agree on masks, and what they encrypt for each other",
    Thing.ANSWERS: "by the base and the tuned model",
    Thing.TOKENIZER: "a public file, checked against its hash",
    Thing.COURSE: "a run's progress, and its workers' addresses",
}
# What was tried (docs/threat-model.md has the same): said in the same words wherever somebody decides.
INVERSION = (
    "Activations can be inverted. In our own trials on small models, attacks recovered most tokens at every cut that "
    "was tried. A deeper cut alone was no defence."
)
STAY = frozenset({Thing.ROWS, Thing.LABELS, Thing.LOGS})  # told of in any case, since they are what people ask for


class Cell(TypedDict):
    """What one organisation sees of one thing."""

    level: Level
    note: str


class Row(TypedDict):
    """One thing."""

    label: str
    hint: str
    cells: list[Cell]


class Matrix(TypedDict):
    """What the component `who_sees_what` shows."""

    parties: list[str]
    rows: list[Row]
    notes: list[str]


@dataclass(frozen=True)
class Party:
    """One worker's part in a run; `receives` is None as long as the contract does not say it."""

    name: str
    role: str  # client | server | evaluator
    receives: bool | None = None


@dataclass(frozen=True)
class Column:
    """An organisation with all its parts."""

    name: str
    roles: frozenset[str]
    receives: bool | None
    is_first: bool = False  # whether the first data party is its own


def cast_of(parties: Sequence[Party], *, prompts: bool) -> Cast:
    """The same parties as flows take them; their names in the run make no difference to who sees what."""
    clients = [party.name for party in parties if party.role == "client"]
    return Cast({str(number): name for number, name in enumerate(clients)}, prompts=prompts)


def columns_of(parties: Sequence[Party], hub: str = "Hub") -> list[Column]:
    """One column per organisation, in the order of their first parts; the hub comes last."""
    first = next((party.name for party in parties if party.role == "client"), None)
    columns = []
    for name in dict.fromkeys(party.name for party in parties):
        own = [party for party in parties if party.name == name]
        columns.append(Column(name, frozenset(party.role for party in own), _receives(own), name == first))
    return [*columns, Column(hub, frozenset({"hub"}), False)]


def _receives(parties: Sequence[Party]) -> bool | None:
    known = [party.receives for party in parties if party.receives is not None]
    return any(known) if known else None


def matrix(flows: Iterable[Flow], columns: Sequence[Column], notes: Sequence[str] = ()) -> Matrix:
    """All that the flows tell of, and what stays, in the order of `Thing`."""
    known = list(flows)
    shown = STAY | {flow.thing for flow in known}
    return {
        "parties": [column.name for column in columns],
        "rows": [
            {
                "label": str(thing),
                "hint": HINTS.get(thing, ""),
                "cells": [_Sight(known, columns, column).of(thing) for column in columns],
            }
            for thing in Thing
            if thing in shown
        ],
        "notes": list(notes),
    }


class _Sight:
    """What one column sees."""

    def __init__(self, flows: Sequence[Flow], columns: Sequence[Column], column: Column) -> None:
        self._column, self._others = column, [one for one in columns if one is not column]
        self._sent = [flow for flow in flows if _is(column, flow.sender)]
        self._received = [flow for flow in flows if self._reaches(flow)]

    def _reaches(self, flow: Flow) -> bool:
        """Whether it comes here from another organisation; what goes back to its owner was known where it was made."""
        if flow.receiver is Part.CLIENT:
            return _is(self._column, flow.sender) and any(_is(other, Part.CLIENT) for other in self._others)
        return _is(self._column, flow.receiver) and any(_is(other, flow.sender) for other in self._others)

    def of(self, thing: Thing) -> Cell:
        """The strongest of: received, computable, its own, its own making, inferable, not at all."""
        received = [flow for flow in self._received if flow.thing is thing]
        owns = _holds(self._column, thing)
        if received:
            return self._seen(received)
        found = sorted(self._reveals(thing), key=lambda found: list(Degree).index(found[1].degree))
        flow, reveal = found[0] if found else (None, None)
        if reveal and reveal.degree in (Degree.CONTAINED, Degree.COMPUTABLE) and not (owns and thing in _OWN_FIRST):
            return _cell("yes", reveal.note + self._condition(flow))
        if owns:
            return _cell("own", f"of others: {reveal.note}" if reveal and thing not in _OWN_FIRST else "")
        sent = [flow.seen for flow in self._sent if flow.thing is thing]
        if sent:
            return _cell("yes", next(filter(None, sent), ""))
        if reveal:
            return _cell("indirect", reveal.note)
        return _cell("no", "no recipient" if thing is Thing.RESULT else "")

    def _seen(self, flows: Sequence[Flow]) -> Cell:
        """What is more than a sum counts first, what a recipient gets before what a worker measures."""
        order = sorted(flows, key=lambda flow: (flow.is_sum, flow.receiver is not Part.RECIPIENTS))
        if order[0].receiver is Part.RECIPIENTS and self._column.receives is None:
            return _cell("yes", "if named a recipient")
        note = next((flow.seen for flow in order if flow.seen), "")
        level: Level = "aggregate" if order[0].is_sum else "yes"
        return _cell("noised" if all(flow.is_noised for flow in flows) else level, note)

    def _reveals(self, thing: Thing) -> Iterator[tuple[Flow, Reveal]]:
        """What is told of things that another organisation holds."""
        if thing in HOLDERS and not any(_holds(other, thing) for other in self._others):
            return
        for flow in self._received:
            for reveal in flow.reveals:
                if reveal.thing is thing and reveal.note:
                    yield flow, reveal

    def _condition(self, flow: Flow | None) -> str:
        """A worker with rows loads the adapter in any case, to measure it."""
        depends = flow is not None and flow.receiver is Part.RECIPIENTS and self._column.receives is None
        return ", if a recipient" if depends else ""


# Of these a party holds its own part, and what comes out of all parts tells no more of the others'.
_OWN_FIRST = frozenset({Thing.ENDS, Thing.BODY})


def _holds(column: Column, thing: Thing) -> bool:
    """Whether an organisation has its own of a thing."""
    return bool(HOLDERS.get(thing, frozenset()) & column.roles)


def _is(column: Column, part: Part) -> bool:
    """Whether an organisation is at this end of a flow."""
    if part is Part.RECIPIENTS:
        return "hub" not in column.roles and column.receives is not False
    if part is Part.FIRST:
        return column.is_first
    return bool(column.roles & part.roles)


def _cell(level: Level, note: str = "") -> Cell:
    return {"level": level, "note": note}
