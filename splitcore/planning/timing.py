"""Time of one step, from speeds that were measured; without them there is no figure, only a reason."""

from __future__ import annotations

from dataclasses import dataclass

from splitcore.config import RunConfig
from splitcore.planning.pipeline import Stage, pipeline_time, way_of
from splitcore.planning.ranges import Range
from splitcore.planning.segments import Segments
from splitcore.planning.shape import ModelShape
from splitcore.planning.traffic import masks


@dataclass(frozen=True)
class Link:
    """A client's connection to the server half, as measured: bytes a second each way, seconds one way."""

    uplink: float
    downlink: float
    latency: float = 0.0


@dataclass(frozen=True)
class Speeds:
    """Measured floating-point operations a second of the slowest client and of the server, and the slowest link."""

    client: float
    server: float
    link: Link


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step, each stage's share, and the stage that bounds it; None where no speed is known."""

    total: Range | None
    stages: dict[Stage, float]
    bottleneck: Stage | None
    reason: str


def step_time(
    config: RunConfig,
    shape: ModelShape,
    cut: Segments,
    *,
    clients: int,
    length: int,
    uplink_bytes: float,
    downlink_bytes: float,
    speeds: Speeds | None,
) -> StepTime:
    """The pipeline's time: at best its busiest stage alone, at worst all stages one after another.

    Expected: the micro-batches played through in time (`pipeline`). The update at the end is a round trip of its own.
    """
    if speeds is None:
        return StepTime(None, {}, None, "The speed of these workers hasn't been measured yet.")
    tokens = config.training.batch_size * length
    micro = config.training.micro_batches
    again = config.training.gradient_checkpointing
    client, server = step_operations(shape, cut, tokens, length, recompute=again)
    stages: dict[Stage, float] = {
        "client": client / speeds.client
        + own_seconds(config, shape, tokens, speeds.client)
        + mask_seconds(config, cut, clients),
        "uplink": uplink_bytes / speeds.link.uplink,
        "server": clients * server / speeds.server,
        "downlink": downlink_bytes / speeds.link.downlink,
    }
    bottleneck = max(stages, key=lambda stage: stages[stage])
    latency = speeds.link.latency
    crossings, update = (4 if cut.u_shape else 2) * latency, 2 * latency
    way = way_of(stages, _parts(shape, cut, length, recompute=again), micro, u_shape=cut.u_shape)
    expected = pipeline_time(way, micro, latency) + update
    reason = (
        f"{tokens} tokens per client. The bottleneck is {_WORDS[bottleneck]}. {micro} micro-batches overlap. "
        "With more of them, the time approaches the low figure."
    )
    return StepTime(
        Range(
            min(_FASTER * expected, stages[bottleneck] + crossings + update),
            expected,
            max(_SLOWER * expected, sum(stages.values()) + crossings * micro + update),
            "s",
            reason,
        ),
        stages,
        bottleneck,
        reason,
    )


def own_seconds(config: RunConfig, shape: ModelShape, tokens: int, speed: float) -> float:
    """Seconds of a step at a client for its methods and defences."""
    costs = [one.cost(width=shape.hidden, vocabulary=shape.vocabulary) for one in config.cut_strategies]
    return tokens * sum(cost.operations / speed + cost.seconds for cost in costs)


def mask_seconds(config: RunConfig, cut: Segments, clients: int) -> float:
    """Seconds of a step at a client, on average, to mask what is summed: a stream of numbers with each other client."""
    if not masks(config, clients):
        return 0.0
    every = config.schedule.exchange(clients).ends_averaged_every or 1
    return _MASK_SECONDS * cut.client_adapter * clients / every


_MASK_SECONDS = 5e-9  # a number and client, on one server core: `python -m tests.benchmarks masked_sums`
# The same work on the same machine does not always take the same time.
_FASTER, _SLOWER = 0.9, 1.25

_WORDS: dict[Stage, str] = {
    "client": "the data organisation's computation",
    "uplink": "the data organisation's uplink",
    "server": "the compute organisation's computation",
    "downlink": "the data organisation's downlink",
}


def step_operations(
    shape: ModelShape, cut: Segments, tokens: int, length: int, *, recompute: bool = False
) -> tuple[float, float]:
    """Floating-point operations of a step: (one client, the server for one client).

    Two a weight and token forward, two backward (a frozen weight needs no gradient of its own), and the attention
    scores and sums, which grow with the length. Layers that are computed again count three times instead of twice.
    """
    passes = 3 if recompute else 2
    output = 2 * 2 * shape.output_head.parameters
    ends = _forward(shape, cut.head, length) + _forward(shape, cut.tail, length)
    client = passes * ends + (output if cut.u_shape else 0)
    server = passes * _forward(shape, cut.body, length) + (0 if cut.u_shape else output)
    return float(client * tokens), float(server * tokens)


def _forward(shape: ModelShape, layers: range, length: int) -> int:
    """Operations of one token's way through some layers."""
    return sum(
        times * (2 * kind.active_parameters + 2 * 2 * kind.query * length) for kind, times in shape.counted(layers)
    )


def _parts(shape: ModelShape, cut: Segments, length: int, *, recompute: bool) -> dict[str, float]:
    """Shares of the client's time before, between and after its waits, and of the server's in the forward."""
    forward = 1 / 3 if recompute else 1 / 2
    head = _forward(shape, cut.head, length) / forward
    tail = _forward(shape, cut.tail, length) / forward + 2 * 2 * shape.output_head.parameters if cut.u_shape else 0.0
    total = head + tail
    if not total:  # an embedding alone: no time to share out
        return {"head_forward": 1.0, "tail": 0.0, "head_backward": 0.0, "body_forward": forward}
    return {
        "head_forward": head * forward / total,
        "tail": tail / total,
        "head_backward": head * (1 - forward) / total,
        "body_forward": forward,
    }
