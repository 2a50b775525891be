"""Bytes that cross the cut in one optimiser step: the sums that the channel's own counters will show."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from splitcore.codecs.registry import payload_bytes
from splitcore.config import RunConfig
from splitcore.planning.memory import STATES
from splitcore.planning.ranges import Range
from splitcore.planning.segments import ADAPTER_BYTES, Segments
from splitcore.planning.shape import ModelShape
from splitcore.wire.protocol.frames import PREFIX
from splitcore.wire.protocol.messages import Phase
from splitcore.wire.protocol.parts import PART, in_parts

FRAME_BYTES = PREFIX.size  # of each frame; each message is answered by a bare one
HEADER_BYTES = 190  # a message's header, some tens of bytes more or less with the names in it
ENTRY_BYTES = 40  # a tensor's entry in the header, its name aside
ADAPTER_NAME_BYTES = 75  # a typical name of an adapter tensor
LEAST, MEAN, MOST = 0.0, None, 1.0  # shares of rows on their first visit; the mean follows from the epochs


@dataclass(frozen=True)
class _Crossings:
    """Bytes of a batch over each crossing."""

    activations_up: float
    activations_down: float
    gradients_up: float
    gradients_down: float


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
    turn = 1 / clients if config.schedule.in_turn else 1.0
    ups: list[float] = []
    downs: list[float] = []
    parts: list[dict[str, float]] = []
    for part, length in zip((LEAST, MEAN, MOST), lengths, strict=True):
        cross = _crossings(config, shape, length, part)
        labels = 0.0 if cut.u_shape else float(payload_bytes("i64", (config.training.batch_size, length)))
        adapter, norms = _exchange(config, cut, clients)
        masked = 2 * adapter if masks(config, clients) else adapter  # eight bytes a number instead of four
        messages = config.training.micro_batches * (2 if cut.u_shape else 1) + 2
        around = messages * (FRAME_BYTES * 2 + HEADER_BYTES + 2 * ENTRY_BYTES)
        around += cut.client_matrices * (ENTRY_BYTES + ADAPTER_NAME_BYTES) if adapter else 0
        mask = config.training.batch_size * length
        tail_up, body_down = (cross.gradients_up, cross.activations_down) if cut.u_shape else (0.0, 0.0)
        ups.append(turn * (cross.activations_up + tail_up + labels + mask + around) + masked + norms)
        downs.append(turn * (body_down + cross.gradients_down + around) + adapter)
        parts.append(
            {
                "activations": turn * (cross.activations_up + body_down),
                "gradients": turn * (tail_up + cross.gradients_down),
                "labels": turn * labels,
                "adapters": masked + adapter + norms,
            }
        )
    exchanged = _aggregation_words(config, clients)
    reason = (
        f"{config.training.batch_size} rows of {lengths[0]} to {lengths[2]} tokens, {shape.hidden} wide; "
        f"activations as {config.wire.activations}, gradients as {config.wire.gradients}{exchanged}. "
        f"Shorter rows take proportionally less.{_memory_words(config)}"
    )
    return Traffic(
        Range(ups[0], ups[1], ups[2], "B", reason), Range(downs[0], downs[1], downs[2], "B", reason), parts[1]
    )


def _crossings(config: RunConfig, shape: ModelShape, length: int, part: float | None) -> _Crossings:
    """Bytes of a whole batch; `part` is the share of rows that are on their first visit, None: as many as in the run.

    Where the number of epochs is not given, all are taken for first visits.
    """
    hidden = (config.training.batch_size, length, shape.hidden)
    epochs = config.training.epochs
    first = part if part is not None else min(1.0, 1 / epochs) if epochs else 1.0
    full = _framed(config, config.wire.activations.name, hidden)
    gradients = _framed(config, config.wire.gradients.name, hidden)

    def mean(phase: Phase) -> float:
        cache = config.caches_by_phase.get(phase)
        later = full if cache is None else cache.later(full, lambda codec: _framed(config, codec, hidden))
        return first * full + (1 - first) * later

    return _Crossings(
        activations_up=mean(Phase.HEAD_UP),
        activations_down=mean(Phase.BODY_DOWN),
        gradients_up=gradients,
        gradients_down=gradients if config.lora.train_head else 0.0,
    )


def _framed(config: RunConfig, codec: str, shape: tuple[int, int, int]) -> float:
    """Bytes of a batch's tensor, with the prefixes of the parts in which a large one follows its message."""
    nbytes, micro = payload_bytes(codec, shape), config.training.micro_batches
    each = nbytes // micro
    return nbytes + (micro * ceil(each / PART) * FRAME_BYTES if in_parts(codec, each) else 0)


def masks(config: RunConfig, clients: int) -> bool:
    """Whether what so many clients send to be summed is masked."""
    return config.privacy.masks_sums and config.schedule.exchange(clients).sums_ends


def _exchange(config: RunConfig, cut: Segments, clients: int) -> tuple[float, float]:
    """Bytes, one way and per step on average, of head and tail adapters, and of their norms."""
    exchange = config.schedule.exchange(clients)
    norms = 4.0 * cut.client_matrices
    adapter = float(cut.client_adapter * ADAPTER_BYTES)
    if exchange.gradients:
        return adapter, 0.0
    if exchange.relays:  # weights and the optimiser's moments, once a turn
        return adapter * (STATES[config.training.optimiser] - 1) / (exchange.relayed_every * clients), norms / clients
    if config.schedule.in_turn:
        return 0.0, norms / clients
    return adapter / exchange.ends_averaged_every if exchange.ends_averaged_every else 0.0, norms


def _memory_words(config: RunConfig) -> str:
    """What a second visit of a row saves."""
    cache = config.caches_by_phase.get(Phase.HEAD_UP)
    return f" {cache.saving()}" if cache else ""


def _aggregation_words(config: RunConfig, clients: int) -> str:
    exchange = config.schedule.exchange(clients)
    up = ", masked on the way up" if masks(config, clients) else ""
    if exchange.gradients:
        return f"; the gradients of head and tail adapters in every step{up}"
    if exchange.relays:
        return "; the head and tail adapters handed on after each turn; a mean over the clients, who train in turn"
    if exchange.ends_averaged_every:
        return f"; the head and tail adapters every {exchange.ends_averaged_every} steps{up}"
    return "; a mean over the clients, who train in turn" if config.schedule.in_turn and clients > 1 else ""
