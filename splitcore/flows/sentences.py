"""What leaves, in sentences for the people who are to approve a contract: the hub writes them into it, a worker works
them out for itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from splitcore.config import RunConfig
from splitcore.flow import Flow, Part, Thing
from splitcore.flows.cast import Cast
from splitcore.flows.declare import flows_of

MOST_NAMES = 100  # characters of organisations in a sentence; more are counted instead


def sentences_of(config: RunConfig, cast: Cast, things: Collection[Thing] = tuple(Thing)) -> list[str]:
    """Everything that leaves a party, or all of some things: a line for each of them, from whom to whom."""
    lines: dict[tuple[Thing, str, str], list[Flow]] = {}
    for flow in (flow for flow in flows_of(config, cast) if flow.thing in things):
        ends = named(flow.sender, flow, cast), named(flow.receiver, flow, cast)
        lines.setdefault((flow.thing, *ends), []).append(flow)
    return [_line(sender, receiver, flows) for (_, sender, receiver), flows in lines.items()]


def _line(sender: str, receiver: str, flows: Sequence[Flow]) -> str:
    """What goes from one to another, in which form and when; then what it tells of and what is kept."""
    parts = "; ".join(f"{flow.what}{f' ({flow.form})' if flow.form else ''}, {flow.when}" for flow in flows)
    after = [words for flow in flows for words in (*(reveal.how for reveal in flow.reveals), flow.kept) if words]
    text = " ".join([f"{sender} → {receiver}: {parts}.", *dict.fromkeys(after)])
    return text[0].upper() + text[1:]


def named(part: Part, flow: Flow, cast: Cast) -> str:
    """An end of a flow, by the organisations that are it, where they are known."""
    match part:
        case Part.CLIENT:
            parties = flow.parties or tuple(cast.clients)
            return joined([cast.clients[party] for party in parties]) or "each data organisation"
        case Part.CLIENTS if cast.several:
            return joined([*cast.clients.values()]) or str(part)
        case Part.FIRST:
            return next(iter(cast.clients.values()), "") or str(part)
        case Part.SERVER:
            return cast.server or "the compute organisation"
    return str(part)


def joined(organisations: Sequence[str]) -> str:
    """Each organisation once; their number where there are too many to be read."""
    names = [name for name in dict.fromkeys(organisations) if name]
    words = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return words if len(words) <= MOST_NAMES else f"each of the {len(names)} data organisations"
