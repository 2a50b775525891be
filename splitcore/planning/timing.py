"""Time of one step, from speeds that were measured; without them there is no figure, only a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from splitcore.config import RunConfig
from splitcore.planning.ranges import Range
from splitcore.planning.segments import Segments
from splitcore.planning.shape import ModelShape

Stage = Literal["client", "uplink", "server", "downlink"]


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

    Expected: the busiest stage, plus the others for the first micro-batch only (they overlap afterwards).
    """
    if speeds is None:
        return StepTime(None, {}, None, "No speed of these workers has been measured yet.")
    tokens = config.training.batch_size * length
    client, server = step_operations(shape, cut, tokens, length)
    stages: dict[Stage, float] = {
        "client": client / speeds.client,
        "uplink": uplink_bytes / speeds.link.uplink,
        "server": clients * server / speeds.server,
        "downlink": downlink_bytes / speeds.link.downlink,
    }
    bottleneck = max(stages, key=lambda stage: stages[stage])
    crossings = 4 if cut.u_shape else 2
    waits = crossings * speeds.link.latency
    rest = sum(stages.values()) - stages[bottleneck]
    reason = (
        f"{tokens} tokens a client; bounded by {_WORDS[bottleneck]}. "
        f"{config.training.micro_batches} micro-batches overlap: more of them bring it nearer to the low figure."
    )
    return StepTime(
        Range(
            stages[bottleneck] + waits,
            stages[bottleneck] + rest / config.training.micro_batches + waits,
            sum(stages.values()) + waits * config.training.micro_batches,
            "s",
            reason,
        ),
        stages,
        bottleneck,
        reason,
    )


_WORDS: dict[Stage, str] = {
    "client": "the data organisation's computation",
    "uplink": "the data organisation's uplink",
    "server": "the compute organisation's computation",
    "downlink": "the data organisation's downlink",
}


def step_operations(shape: ModelShape, cut: Segments, tokens: int, length: int) -> tuple[float, float]:
    """Floating-point operations of a step: (one client, the server for one client).

    Two a weight and token forward, two backward (a frozen weight needs no gradient of its own), and the attention
    scores and sums, which grow with the length.
    """
    attention = 2 * 2 * shape.heads * shape.head_size * length
    layer = 2 * (2 * shape.active_layer_parameters + attention)
    output = 2 * 2 * shape.output_parameters
    client = cut.client_layers * layer + (output if cut.u_shape else 0)
    server = cut.body_layers * layer + (0 if cut.u_shape else output)
    return float(client * tokens), float(server * tokens)
