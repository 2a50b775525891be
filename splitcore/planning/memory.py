"""Memory of each role, in the device that it computes on (the graphics card's where it has one).

What autograd keeps of a layer is counted from the layer's structure: the inputs of norms, of adapters and of the
activation function; low and high bound what fused kernels and attention implementations change about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitcore.config import RunConfig
from splitcore.planning.ranges import Range
from splitcore.planning.segments import ADAPTER_BYTES, Segments, client_weights, compute_width, server_weights
from splitcore.planning.shape import Layer, ModelShape

LIBRARIES = (376e6, 733e6, 733e6)  # tried on a CPU: imports alone; a small training process in all
STATES = {"adamw": 4, "sgd": 2}  # weight, gradient and the optimiser's moments
LOGIT_COPIES = (2, 3, 5)  # logits, their fp32 form, log-probabilities, gradients
SAVED_FACTOR = (0.45, 1.0, 2.0)  # measured: OPT (ReLU) 0.5, Llama 0.84, Gemma 3 1.0, GPT-2 (composed GELU) 1.18


@dataclass(frozen=True)
class RoleMemory:
    """Memory of one role, its parts at the expected value, in bytes."""

    total: Range
    parts: dict[str, float]


def client_memory(config: RunConfig, shape: ModelShape, cut: Segments, lengths: tuple[int, int, int]) -> RoleMemory:
    """Memory of one data party's half."""
    rows = config.training.batch_size
    costs = [one.cost(width=shape.hidden, vocabulary=shape.vocabulary) for one in config.cut_strategies]
    return _role(
        config,
        shape,
        weights=client_weights(config, shape, cut),
        adapter=cut.client_adapter,
        layers=[cut.head, cut.tail],
        rows=(rows, rows, rows),
        logits=cut.u_shape,
        lengths=lengths,
        own=(sum(cost.parameters for cost in costs), sum(cost.memory for cost in costs)),
        words=f"{cut.head_layers} head and {cut.tail_layers} tail layers" if cut.u_shape else "the head's layers",
    )


def server_memory(
    config: RunConfig, shape: ModelShape, cut: Segments, lengths: tuple[int, int, int], rows: int, adapters: int = 1
) -> RoleMemory:
    """Memory of the compute party's half; `rows` of all clients together. The base is held once, beside `adapters`."""
    micro = config.training.batch_size // config.training.micro_batches
    return _role(
        config,
        shape,
        weights=server_weights(config, shape, cut),
        adapter=cut.body_adapter * adapters,
        layers=[cut.body],
        rows=(micro, rows, rows),
        logits=not cut.u_shape,
        lengths=lengths,
        words=f"{cut.body_layers} body layers, loaded once for all clients, with every client's rows in flight",
    )


def _role(
    config: RunConfig,
    shape: ModelShape,
    *,
    weights: float,
    adapter: int,
    layers: Sequence[range],
    rows: tuple[int, int, int],
    logits: bool,
    lengths: tuple[int, int, int],
    words: str,
    own: tuple[int, float] = (0, 0.0),
) -> RoleMemory:
    """`own`: trained numbers of methods and defences, and the bytes that they hold for each token in flight."""
    width = compute_width(config, shape)
    micro = config.training.batch_size // config.training.micro_batches
    # a quantised layer is dequantised one matrix at a time
    quantised = config.model.quantisation != "none"
    base = weights + (shape.largest_quantised * 4 if quantised else 0)
    states = (adapter + own[0]) * ADAPTER_BYTES * STATES[config.training.optimiser]
    saved = [
        _saved(config, shape, layers, rows_, length) * width * factor
        + _saved_scores(config, shape, layers, rows_, length) * width * (place == 2)
        + own[1] * rows_ * length
        for place, (rows_, length, factor) in enumerate(zip(rows, lengths, SAVED_FACTOR, strict=True))
    ]
    output = [
        copies * micro * length * shape.vocabulary * 4 if logits else 0
        for copies, length in zip(LOGIT_COPIES, lengths, strict=True)
    ]
    low, high = (base + states + saved[at] + output[at] for at in (0, 2))
    expected = base + states + saved[1] + output[1]
    reason = (
        f"{words}; weights as {_format(config, shape)}, rows of {lengths[0]} to {lengths[2]} tokens. "
        "The high figure assumes attention that stores its scores. It includes the libraries' own memory, as measured "
        "on a CPU."
    )
    return RoleMemory(
        Range(low + LIBRARIES[0], expected + LIBRARIES[1], high + LIBRARIES[2], "B", reason),
        {
            "base weights": base,
            "adapter and optimiser": states,
            "activations": saved[1],
            "logits": output[1],
            "libraries": LIBRARIES[1],
        },
    )


def _saved(config: RunConfig, shape: ModelShape, layers: Sequence[range], rows: int, length: int) -> float:
    """Values that autograd keeps; where layers recompute, their inputs, and all of one layer of one micro-batch."""
    counted = [one for part in layers for one in shape.counted(part)]
    tokens = [(saved_values(shape, kind, cut_rank=config.lora.rank), times) for kind, times in counted]
    if not config.training.gradient_checkpointing:
        return sum(rows * length * token * times for token, times in tokens)
    micro = config.training.batch_size // config.training.micro_batches
    largest = max((token for token, _ in tokens), default=0.0)
    return sum(times for _, times in tokens) * rows * length * shape.hidden + min(rows, micro) * length * largest


def _saved_scores(config: RunConfig, shape: ModelShape, layers: Sequence[range], rows: int, length: int) -> float:
    """Values of an attention that keeps its scores."""
    heads = [(kind.heads, times) for part in layers for kind, times in shape.counted(part)]
    recomputed = config.training.gradient_checkpointing
    held = max((one for one, _ in heads), default=0) if recomputed else sum(one * times for one, times in heads)
    return held * rows * length * length


def _format(config: RunConfig, shape: ModelShape) -> str:
    """The number formats of the base model, in words."""
    dtype = shape.dtype if config.model.dtype == "auto" else config.model.dtype
    return dtype if config.model.quantisation == "none" else f"{config.model.quantisation} and {dtype}"


def saved_values(shape: ModelShape, kind: Layer, *, cut_rank: int) -> float:
    """Values per token that autograd keeps of one layer whose base is frozen and whose adapters train."""
    # two norms (input, scaled and output), attention (q, k before and after rotation, v, result), gate, up, product
    return 6 * shape.hidden + 3 * kind.query + 3 * kind.key + 4 * kind.inner + kind.adapted * cut_rank
