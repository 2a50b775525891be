"""What leaves in runs in general, as tables for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from splitcore.config import RunConfig
from splitcore.flow import Flow, Part, Thing
from splitcore.flows.cast import anyone
from splitcore.flows.declare import flows_of, side_of, standing_flows
from splitcore.flows.matrix import STAY
from splitcore.wire.protocol.declared import Carried, Content, Side, Slot
from splitcore.wire.protocol.messages import Kind

# A configuration and a number of data parties for everything that some run sends; a test holds it to all runs.
EXAMPLES: tuple[tuple[int, dict[str, Any]], ...] = (
    (2, {}),
    (2, {"split": {"topology": "vanilla"}}),
    (2, {"privacy": {"sums": "masked"}}),
    (2, {"privacy": {"sums": "masked"}, "schedule": {"mode": "splitfed_v1"}}),
    (2, {"privacy": {"sums": "masked"}, "schedule": {"mode": "sequential"}}),
    (2, {"schedule": {"mode": "splitfed_v1"}, "wire": {"changes": "int4"}}),
    (2, {"schedule": {"mode": "sequential"}}),
    (2, {"schedule": {"straggler": "continue"}}),
    (1, {"split": {"topology": "vanilla"}, "data": {"task": {"name": "sequence", "labels": ["a", "b"]}}}),
    (1, {}),
)


@cache
def example_flows() -> tuple[Flow, ...]:
    """The flows of all examples, one after another."""
    model = {"model": {"name_or_path": "m"}}
    runs = ((RunConfig.parse({**model, **changes}), anyone(count)) for count, changes in EXAMPLES)
    return tuple(flow for config, cast in runs for flow in flows_of(config, cast))


@cache
def general_flows() -> tuple[Flow, ...]:
    """Each flow of any run once, and those outside of runs, in the order of `Thing`."""
    found: dict[object, Flow] = {}
    for flow in example_flows():
        found.setdefault(general_key(flow), flow)
    order = list(Thing)
    return tuple(sorted([*found.values(), *standing_flows()], key=lambda flow: order.index(flow.thing)))


def general_key(flow: Flow) -> tuple[str, str, str]:
    """What one row of a table stands for: what goes to each data party goes to a lone one too."""
    return flow.what, flow.sender, Part.CLIENTS if flow.receiver is Part.CLIENT else flow.receiver


def full_table() -> str:
    """A row for each flow: what, from whom to whom, when, and what it tells of."""
    rows = (
        (
            flow.what,
            str(flow.sender),
            str(flow.receiver),
            ", ".join(filter(None, (flow.when, flow.only))),
            _tells([flow]),
        )
        for flow in general_flows()
    )
    return markdown(("what", "from", "to", "when", "what it reveals"), rows)


def short_table() -> str:
    """A row for each kind of thing: to whom it goes, beside its owner, and what that tells."""
    rows = []
    for thing in Thing:
        flows = [flow for flow in general_flows() if flow.thing is thing and flow.receiver is not Part.CLIENT]
        told = " ".join(filter(None, [_tells(flows), _told_by(thing)]))
        rows.append((str(thing), _receivers(flows) or "nobody", told))
    return markdown(("what", "goes to", "what it reveals"), rows)


def messages_table() -> str:
    """A row for each message between the halves: its direction, all that it may carry in some run, and what that is."""
    found: dict[tuple[Side, Slot], list[tuple[Flow, Carried]]] = {}
    for flow in example_flows():
        side = side_of(flow)
        for message in flow.carried if side else ():
            found.setdefault((side or "server", message.slot), []).append((flow, message))
    order = list(Kind)
    rows = []
    for (side, (kind, phase)), parts in sorted(found.items(), key=lambda item: order.index(item[0][1][0])):
        tensors = dict.fromkeys(tensor.name or _MANY[tensor.content] for _, one in parts for tensor in one.tensors)
        fields = sorted(set().union(*(one.fields for _, one in parts)))
        rows.append(
            (
                f"`{kind}`" + (f" `{phase}`" if phase else ""),
                "client → server" if side == "server" else "server → client",
                _names(tensors),
                _names(fields),
                "; ".join(dict.fromkeys(flow.what for flow, _ in parts)),
            )
        )
    return markdown(("kind, phase", "direction", "tensors", "fields", "what"), rows)


_MANY = {
    Content.ENDS: "one per adapter tensor",
    Content.MASKED_ENDS: "one per adapter tensor, masked",
    Content.MOMENTS: "one per moment of these",
}


def _names(names: Iterable[str]) -> str:
    return ", ".join(name if " " in name else f"`{name}`" for name in names)


def _told_by(thing: Thing) -> str:
    """From what something can be told that stays with its owner."""
    sources = [flow for flow in general_flows() if any(told.thing is thing and told.note for told in flow.reveals)]
    words = [f"{flow.what} ({flow.only})" if flow.only else flow.what for flow in sources]
    return f"Can be recovered or inferred from {'; from '.join(words)}." if words and thing in STAY else ""


def _receivers(flows: Sequence[Flow]) -> str:
    conditions: dict[Part, set[str]] = {}
    for flow in flows:
        conditions.setdefault(flow.receiver, set()).add(flow.only)
    return "; ".join(
        f"{to} ({next(iter(only))})" if len(only) == 1 and "" not in only else str(to)
        for to, only in conditions.items()
    )


def _tells(flows: Iterable[Flow]) -> str:
    return " ".join(dict.fromkeys(reveal.how for flow in flows for reveal in flow.reveals))


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
