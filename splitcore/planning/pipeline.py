"""The micro-batches of one step on their way through client, uplink, server and downlink, played through in time.

Each place works on one thing at a time, in the order of arrival; the client answers what has arrived before it starts
the next head forward, as `step/pipeline.py` does. A link holds what has left it back for its latency. The bound
T ≈ Σ t_i + (M − 1)·max t_i follows where one place is always the slowest; this also sees the two passes through each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Literal

Stage = Literal["client", "uplink", "server", "downlink"]
LINKS: tuple[Stage, ...] = ("uplink", "downlink")


@dataclass(frozen=True)
class Hop:
    """One stop of a micro-batch: where, and its seconds there."""

    place: Stage
    seconds: float


def pipeline_time(way: Sequence[Hop], micro_batches: int, latency: float) -> float:
    """Seconds from the first micro-batch's first hop to the last one's last hop, `latency` seconds one way."""
    places: set[Stage] = {hop.place for hop in way}
    free = dict.fromkeys(places, 0.0)
    waiting: dict[Stage, list[tuple[int, float, int, int]]] = {place: [] for place in places}
    events: list[tuple[float, int, int]] = [(0.0, micro, 0) for micro in range(micro_batches)]
    end = 0.0
    while events:
        now = events[0][0]
        while events and events[0][0] <= now:
            at, micro, hop = heappop(events)
            if hop >= 0:  # -1: a place has become free
                heappush(waiting[way[hop].place], (int(hop == 0), at, micro, hop))
        for place, queue in waiting.items():
            if not queue or free[place] > now:
                continue
            _, _, micro, hop = heappop(queue)
            free[place] = done = now + way[hop].seconds
            end = max(end, done)
            heappush(events, (done, -1, -1))
            if hop + 1 < len(way):
                arrives = done + (latency if place in LINKS else 0.0)
                heappush(events, (arrives, micro, hop + 1))
            else:
                end = max(end, done + (latency if place in LINKS else 0.0))
    return end


def way_of(stages: dict[Stage, float], parts: dict[str, float], micro_batches: int, *, u_shape: bool) -> list[Hop]:
    """The hops of one micro-batch from the seconds of a whole step.

    `parts` are shares of the client's time (head_forward, tail, head_backward) and of the server's (body_forward).
    """
    client, server, up, down = (stages[name] / micro_batches for name in ("client", "server", "uplink", "downlink"))
    head, back, body = (parts[name] for name in ("head_forward", "head_backward", "body_forward"))
    if not u_shape:
        return [
            Hop("client", client * head),
            Hop("uplink", up),
            Hop("server", server),
            Hop("downlink", down),
            Hop("client", client * back),
        ]
    return [
        Hop("client", client * head),
        Hop("uplink", up / 2),
        Hop("server", server * body),
        Hop("downlink", down / 2),
        Hop("client", client * parts["tail"]),
        Hop("uplink", up / 2),
        Hop("server", server * (1 - body)),
        Hop("downlink", down / 2),
        Hop("client", client * back),
    ]
