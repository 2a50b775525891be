"""The whole estimate of a run, as the hub's form shows it while a person types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splitcore.config import RunConfig, exchange_of
from splitcore.planning.memory import RoleMemory, client_memory, server_memory
from splitcore.planning.prior import SpeedBounds, bounded
from splitcore.planning.ranges import Range
from splitcore.planning.segments import ADAPTER_BYTES, segments_of
from splitcore.planning.shape import ModelShape
from splitcore.planning.timing import Speeds, StepTime, step_time
from splitcore.planning.traffic import Traffic, step_traffic


@dataclass(frozen=True)
class PartyPlan:
    """One data party's share."""

    memory: RoleMemory
    traffic: Traffic


@dataclass(frozen=True)
class Plan:
    """What a run will take."""

    clients: dict[str, PartyPlan]
    server_memory: RoleMemory
    server_traffic: tuple[Range, Range]  # what comes in and goes out in a step, all clients together
    run_traffic: Range | None
    time: StepTime
    run_time: Range | None
    adapter_bytes: Range
    adapter_parameters: int
    base_parameters: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; bytes and seconds throughout."""
        return {
            "clients": {
                name: {
                    "memory": {**party.memory.total.to_dict(), "parts": party.memory.parts},
                    "uplink": party.traffic.uplink.to_dict(),
                    "downlink": party.traffic.downlink.to_dict(),
                    "traffic_parts": party.traffic.parts,
                }
                for name, party in self.clients.items()
            },
            "server": {
                "memory": {**self.server_memory.total.to_dict(), "parts": self.server_memory.parts},
                "incoming": self.server_traffic[0].to_dict(),
                "outgoing": self.server_traffic[1].to_dict(),
            },
            "step": {
                "time": None if self.time.total is None else self.time.total.to_dict(),
                "stages": dict(self.time.stages),
                "bottleneck": self.time.bottleneck,
                "reason": self.time.reason,
            },
            "run": {
                "traffic": None if self.run_traffic is None else self.run_traffic.to_dict(),
                "time": None if self.run_time is None else self.run_time.to_dict(),
            },
            "adapter": {**self.adapter_bytes.to_dict(), "parameters": self.adapter_parameters},
            "base_parameters": self.base_parameters,
        }


def estimate(
    config: RunConfig,
    shape: ModelShape,
    clients: int | Sequence[str] = 1,
    *,
    lengths: tuple[int, int] | None = None,
    speeds: Speeds | SpeedBounds | None = None,
) -> Plan:
    """Estimate a run.

    Parameters
    ----------
    clients
        The data parties' names, whose overrides apply, or their number.
    lengths
        Typical (median) and long (95th percentile) rows of the datasets in tokens, where known.
    speeds
        Measured speeds, or bounds of them before a first run (`prior_speeds`); without either there is no time.

    Raises
    ------
    AppError
        CL-1002 where a cut leaves no body.
    """
    names = [f"client {number}" for number in range(1, clients + 1)] if isinstance(clients, int) else list(clients)
    names = names or ["client 1"]  # a form in which nobody has been invited yet
    configs = {name: config.for_party(name) for name in names}
    cuts = {name: segments_of(configs[name], shape) for name in names}
    span = _lengths(config.training.max_length, lengths)
    parties = {
        name: PartyPlan(
            client_memory(configs[name], shape, cuts[name], span),
            step_traffic(configs[name], shape, cuts[name], clients=len(names), lengths=span),
        )
        for name in names
    }
    widest = max(names, key=lambda name: cuts[name].body_layers)
    exchange = exchange_of(config.schedule, len(names))
    in_turn, own_body = exchange.in_turn, exchange.own_body
    sizes = [one.training.batch_size for one in configs.values()]
    rows = max(sizes) if in_turn else sum(sizes)
    slowest = max(names, key=lambda name: parties[name].traffic.uplink.expected)

    def time_at(known: Speeds | None) -> StepTime:
        return step_time(
            configs[slowest],
            shape,
            cuts[slowest],
            clients=1 if in_turn else len(names),
            length=span[1],
            # of a party whose turn it is, not the mean over the turns of all
            uplink_bytes=parties[slowest].traffic.uplink.expected * (len(names) if in_turn else 1),
            downlink_bytes=parties[slowest].traffic.downlink.expected * (len(names) if in_turn else 1),
            speeds=known,
        )

    if isinstance(speeds, SpeedBounds):
        best, likely, worst = speeds.cases
        time = bounded((time_at(best), time_at(likely), time_at(worst)), speeds.basis)
    else:
        time = time_at(speeds)
    incoming = _sum([party.traffic.uplink for party in parties.values()], "All clients together, in one step.")
    outgoing = _sum([party.traffic.downlink for party in parties.values()], "All clients together, in one step.")
    parameters = shape.layers * cuts[widest].adapter_per_layer
    steps = config.training.steps
    both = _sum([incoming, outgoing], "Training alone; evaluations come on top.")
    return Plan(
        parties,
        server_memory(configs[widest], shape, cuts[widest], span, rows, len(names) if own_body else 1),
        (incoming, outgoing),
        _times(both, steps),
        time,
        None if time.total is None else _times(time.total, steps),
        Range.exact(parameters * ADAPTER_BYTES, "B", f"Rank {config.lora.rank} on {shape.layers} layers, in fp32."),
        parameters,
        shape.parameters,
    )


def _lengths(most: int, known: tuple[int, int] | None) -> tuple[int, int, int]:
    """Low, expected and high tokens of a padded row. Where nothing is known, the bound itself is expected."""
    if known is None:
        return (min(8, most), most, most)
    typical, long = (max(1, min(length, most)) for length in known)
    return (min(typical, long), long, most)


def _sum(ranges: Sequence[Range], reason: str) -> Range:
    return Range(
        sum(one.low for one in ranges),
        sum(one.expected for one in ranges),
        sum(one.high for one in ranges),
        ranges[0].unit,
        reason,
    )


def _times(one: Range, steps: int | None) -> Range | None:
    if steps is None:
        return None
    return Range(one.low * steps, one.expected * steps, one.high * steps, one.unit, f"{steps} steps. {one.reason}")
