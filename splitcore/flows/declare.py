"""All that leaves a party in a run, and what the halves may therefore say to each other."""

from __future__ import annotations

from collections.abc import Iterable

from splitcore.config import RunConfig
from splitcore.flow import Flow, Part
from splitcore.flows import adapters, codec, evaluations, protections, records, samples, schedule, standing, topology
from splitcore.flows.cast import Cast
from splitcore.flows.reading import Reading
from splitcore.wire.protocol.declared import Carried, Side

_OF_A_RUN = (topology, codec, protections, schedule, records, evaluations, samples, adapters)
_AT_CLIENT = frozenset({Part.CLIENT, Part.CLIENTS, Part.NEXT})


def flows_of(config: RunConfig, cast: Cast) -> list[Flow]:
    """Everything that leaves a party in this run."""
    run = Reading(config, cast)
    return [protections.applied(run, flow) for source in _OF_A_RUN for flow in source.flows(run)]


def standing_flows() -> list[Flow]:
    """Everything that leaves a site outside of runs."""
    return list(standing.flows())


def side_of(flow: Flow) -> Side | None:
    """The half that receives it; None for what goes past the halves."""
    if not flow.carried:
        return None
    return "client" if flow.receiver in _AT_CLIENT else "server"


def carried_to(flows: Iterable[Flow]) -> dict[Side, list[Carried]]:
    """The messages that each half may be sent."""
    found: dict[Side, list[Carried]] = {"client": [], "server": []}
    for flow in flows:
        side = side_of(flow)
        if side is not None:
            found[side] += flow.carried
    return found
