"""The whole estimate of a run, as the hub's form shows it while a person types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splitcore.config import RunConfig
from splitcore.planning.memory import RoleMemory, client_memory, server_memory
from splitcore.planning.prior import SpeedBounds, bounded
from splitcore.planning.ranges import Range
from splitcore.planning.segments import ADAPTER_BYTES, Segments, segments_of
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
    cast = _Cast.of(config, shape.telling(config.data.task.classes), clients, lengths)
    parties = cast.parties()
    incoming = _sum([party.traffic.uplink for party in parties.values()], "All clients together, in one step.")
    outgoing = _sum([party.traffic.downlink for party in parties.values()], "All clients together, in one step.")
    both = _sum([incoming, outgoing], "Training only. Evaluations are extra.")
    if isinstance(speeds, SpeedBounds):
        best, likely, worst = (cast.step_time(parties, case) for case in speeds.cases)
        time = bounded((best, likely, worst), speeds.basis)
    else:
        time = cast.step_time(parties, speeds)
    cut = cast.cuts[cast.widest]
    parameters = cut.client_adapter + cut.body_adapter
    steps = config.training.steps
    return Plan(
        parties,
        cast.server_memory(),
        (incoming, outgoing),
        _times(both, steps),
        time,
        None if time.total is None else _times(time.total, steps),
        Range.exact(parameters * ADAPTER_BYTES, "B", f"Rank {config.lora.rank} on {shape.layers} layers, in fp32."),
        parameters,
    )


@dataclass(frozen=True)
class _Cast:
    """Who takes part: each client's own configuration and cut, and what follows for the server."""

    config: RunConfig
    shape: ModelShape
    configs: dict[str, RunConfig]
    cuts: dict[str, Segments]
    lengths: tuple[int, int, int]  # low, expected and high tokens of a padded row

    @classmethod
    def of(
        cls, config: RunConfig, shape: ModelShape, clients: int | Sequence[str], lengths: tuple[int, int] | None
    ) -> _Cast:
        """Raises AppError CL-1002 where a cut leaves no body."""
        numbered = [f"client {number}" for number in range(1, clients + 1)] if isinstance(clients, int) else clients
        names = list(numbered) or ["client 1"]  # a form in which nobody has been invited yet
        configs = {name: config.for_party(name) for name in names}
        cuts = {name: segments_of(one, shape) for name, one in configs.items()}
        return cls(config, shape, configs, cuts, _lengths(config.training.max_length, lengths))

    @property
    def widest(self) -> str:
        """The client whose cut leaves the server the most layers."""
        return max(self.cuts, key=lambda name: self.cuts[name].body_layers)

    @property
    def in_turn(self) -> bool:
        """Whether one client after the other has the server."""
        return self.config.schedule.in_turn and len(self.configs) > 1

    def parties(self) -> dict[str, PartyPlan]:
        """Each client's share."""
        count = len(self.configs)
        return {
            name: PartyPlan(
                client_memory(config, self.shape, self.cuts[name], self.lengths),
                step_traffic(config, self.shape, self.cuts[name], clients=count, lengths=self.lengths),
            )
            for name, config in self.configs.items()
        }

    def server_memory(self) -> RoleMemory:
        """Memory of the compute party's half."""
        sizes = [one.training.batch_size for one in self.configs.values()]
        bodies = len(self.configs) if self.config.schedule.exchange(len(self.configs)).own_body else 1
        rows = max(sizes) if self.in_turn else sum(sizes)
        return server_memory(self.configs[self.widest], self.shape, self.cuts[self.widest], self.lengths, rows, bodies)

    def step_time(self, parties: dict[str, PartyPlan], speeds: Speeds | None) -> StepTime:
        """The time of a step, which the client with the most traffic determines."""
        slowest = max(parties, key=lambda name: parties[name].traffic.uplink.expected)
        traffic = parties[slowest].traffic
        turns = len(parties) if self.in_turn else 1  # of a party whose turn it is, not the mean over the turns of all
        return step_time(
            self.configs[slowest],
            self.shape,
            self.cuts[slowest],
            clients=1 if self.in_turn else len(parties),
            length=self.lengths[1],
            uplink_bytes=traffic.uplink.expected * turns,
            downlink_bytes=traffic.downlink.expected * turns,
            speeds=speeds,
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
