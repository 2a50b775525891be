"""What methods and defences at the cut make of what crosses, and what they send of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from splitcore.flow import Flow, Part, Thing
from splitcore.flows.reading import Reading
from splitcore.flows.topology import HIDDEN


def flows(run: Reading) -> Iterator[Flow]:
    """Whatever each of them says of itself."""
    for strategy in run.config.cut_strategies:
        yield from strategy.flows()


def applied(run: Reading, flow: Flow) -> Flow:
    """Another source's flow as the run's protections leave it: what they do to a data party's hidden states."""
    sent = {tensor.name for message in flow.carried for tensor in message.tensors}
    if flow.thing is not Thing.ACTIVATIONS or flow.sender is not Part.CLIENT or HIDDEN not in sent:
        return flow
    is_noised = any(strategy.adds_noise for strategy in run.config.cut_strategies)
    form = "; ".join(part for part in (flow.form, *run.protections) if part)
    return replace(flow, form=form, is_noised=is_noised)
