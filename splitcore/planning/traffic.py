"""Bytes that cross the cut in one optimiser step: the sums that the channel's own counters will show."""

from __future__ import annotations

from dataclasses import dataclass

from splitcore.config import RunConfig, exchange_of
from splitcore.planning.memory import STATES
from splitcore.planning.ranges import Range
from splitcore.planning.segments import ADAPTER_BYTES, Segments
from splitcore.planning.shape import ModelShape
from splitcore.wire.formats import payload_bytes

FRAME_BYTES = 34  # the prefix of a frame; each message is answered by a bare one
HEADER_BYTES = 190  # a message's header, some tens of bytes more or less with the names in it
ENTRY_BYTES = 40  # a tensor's entry in the header, its name aside
ADAPTER_NAME_BYTES = 75  # a typical name of an adapter tensor


@dataclass(frozen=True)
class Traffic:
    """Bytes of one client in one optimiser step, by direction and purpose; purposes are at the expected length."""

    uplink: Range
    downlink: Range
    parts: dict[str, float]


def step_traffic(
    config: RunConfig, shape: ModelShape, cut: Segments, *, clients: int, lengths: tuple[int, int, int]
) -> Traffic:
    """Traffic of one client. `lengths`: low, expected and high number of tokens of a padded row.

    Of a sequential run, the mean over the steps of all clients, since only one of them sends in each.
    """
    turn = 1 / clients if exchange_of(config.schedule, clients).in_turn else 1.0
    ups: list[float] = []
    downs: list[float] = []
    parts: dict[int, dict[str, float]] = {}
    for length in lengths:
        activations, gradients, labels = (turn * nbytes for nbytes in _crossings(config, shape, length))
        adapter, norms = _exchange(config, cut, clients)
        up_messages = config.training.micro_batches * (2 if cut.u_shape else 1) + 2
        down_messages = up_messages
        around = FRAME_BYTES * 2 + HEADER_BYTES + 2 * ENTRY_BYTES
        names = cut.client_matrices * (ENTRY_BYTES + ADAPTER_NAME_BYTES) if adapter else 0
        own = (activations + gradients if cut.u_shape else activations + labels) + adapter + norms
        back = (activations + gradients if cut.u_shape else gradients) + adapter
        mask = turn * config.training.batch_size * length
        ups.append(own + mask + turn * (up_messages * around + names))
        downs.append(back + turn * (down_messages * around + names))
        parts[length] = {
            "activations": activations * (2 if cut.u_shape else 1),
            "gradients": gradients * (2 if cut.u_shape else 1),
            "labels": 0.0 if cut.u_shape else labels,
            "adapters": 2 * adapter + norms,
        }
    exchanged = _aggregation_words(config, clients)
    reason = (
        f"{config.training.batch_size} rows of {lengths[0]} to {lengths[2]} tokens, {shape.hidden} wide; "
        f"activations as {config.wire.activations}, gradients as {config.wire.gradients}{exchanged}. "
        "Shorter rows take proportionally less."
    )
    return Traffic(
        Range(ups[0], ups[1], ups[2], "B", reason), Range(downs[0], downs[1], downs[2], "B", reason), parts[lengths[1]]
    )


def _crossings(config: RunConfig, shape: ModelShape, length: int) -> tuple[float, float, float]:
    """Bytes of one crossing of a whole batch: activations, gradients, labels."""
    hidden = (config.training.batch_size, length, shape.hidden)
    return (
        payload_bytes(config.wire.activations, hidden),
        payload_bytes(config.wire.gradients, hidden),
        payload_bytes("i64", hidden[:2]),
    )


def _exchange(config: RunConfig, cut: Segments, clients: int) -> tuple[float, float]:
    """Bytes, one way and per step on average, of head and tail adapters, and of their norms."""
    exchange, schedule = exchange_of(config.schedule, clients), config.schedule
    norms = 4.0 * cut.client_matrices
    adapter = float(cut.client_adapter * ADAPTER_BYTES)
    if exchange.gradients:
        return adapter, 0.0
    if exchange.relays:  # weights and the optimiser's moments, once a turn
        return adapter * (STATES[config.training.optimiser] - 1) / (schedule.turn_steps * clients), norms / clients
    if exchange.in_turn:
        return 0.0, norms / clients
    return adapter / exchange.average_every if exchange.average_every else 0.0, norms


def _aggregation_words(config: RunConfig, clients: int) -> str:
    exchange = exchange_of(config.schedule, clients)
    if exchange.gradients:
        return "; the gradients of head and tail adapters in every step"
    if exchange.relays:
        return "; the head and tail adapters handed on after each turn; a mean over the clients, who train in turn"
    if exchange.average_every:
        return f"; the head and tail adapters every {exchange.average_every} steps"
    return "; a mean over the clients, who train in turn" if exchange.in_turn else ""
