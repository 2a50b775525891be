"""How a configuration cuts a model: layers, weights and adapter of each party."""

from __future__ import annotations

from dataclasses import dataclass

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.planning.shape import ModelShape

WEIGHT_BYTES = {"float32": 4, "bfloat16": 2}
QUANTISED_BYTES = {"int8": 1.0, "int4": 0.5 + 1 / 64 + 4 / (64 * 256)}  # a weight of a linear layer, with its scales
ADAPTER_BYTES = 4  # adapters are held, exchanged and saved in fp32


@dataclass(frozen=True)
class Segments:
    """One data party's cut. Adapters are counted in weights, matrices in tensors."""

    head_layers: int
    body_layers: int
    tail_layers: int
    client_adapter: int
    body_adapter: int
    client_matrices: int
    u_shape: bool

    @property
    def client_layers(self) -> int:
        """Decoder layers at the data party."""
        return self.head_layers + self.tail_layers

    @property
    def head(self) -> range:
        """The head's layers."""
        return range(self.head_layers)

    @property
    def body(self) -> range:
        """The body's layers."""
        return range(self.head_layers, self.head_layers + self.body_layers)

    @property
    def tail(self) -> range:
        """The tail's layers."""
        return range(self.body.stop, self.body.stop + self.tail_layers)


def segments_of(config: RunConfig, shape: ModelShape) -> Segments:
    """The cut of a configuration (`RunConfig.for_party` first). Raises AppError CL-1002 where no body is left."""
    u_shape = config.split.topology == "u_shape"
    head, tail = config.split.head_layers, config.split.tail_layers if u_shape else 0
    body = shape.layers - head - tail
    if body < 1:
        raise AppError(
            "CL-1002",
            f"{head} head layers and {tail} tail layers leave no layer of {shape.layers} for the body.",
            details={"head_layers": head, "tail_layers": tail, "layers": shape.layers},
        )
    targets, rank = config.lora.target_modules, config.lora.rank
    parts = [range(head), range(head, head + body), range(head + body, shape.layers)]
    adapted = [shape.adapted(targets, part) for part in parts]
    adapted[2 if u_shape else 1] += [(shape.output_head, 1)] * shape.output_head.is_target(targets)
    weights = [sum(linear.adapter_parameters(rank) * times for linear, times in part) for part in adapted]
    matrices = [2 * sum(times for _, times in part) for part in adapted]
    if classes := config.data.task.classes:  # the head of a classifier is trained as a whole
        weights[2 if u_shape else 1] += classes * shape.hidden
        matrices[2 if u_shape else 1] += 1
    return Segments(head, body, tail, weights[0] + weights[2], weights[1], matrices[0] + matrices[2], u_shape)


def compute_width(config: RunConfig, shape: ModelShape) -> int:
    """Bytes of a number that the base model computes with."""
    return WEIGHT_BYTES[shape.dtype if config.model.dtype == "auto" else config.model.dtype]


def layers_bytes(config: RunConfig, shape: ModelShape, layers: range) -> float:
    """Bytes of the base weights of some decoder layers; fused experts, norms and biases are not quantised."""
    width = compute_width(config, shape)
    quantised = QUANTISED_BYTES.get(config.model.quantisation, width)
    return sum(
        times * (kind.quantised * quantised + (kind.parameters - kind.quantised) * width)
        for kind, times in shape.counted(layers)
    )


def client_weights(config: RunConfig, shape: ModelShape, cut: Segments) -> float:
    """Bytes of base weights that a data party holds; a tied embedding that serves head and tail is held once."""
    ends = shape.head_ends + (shape.output_ends - shape.shared_ends if cut.u_shape else 0)
    layers = layers_bytes(config, shape, cut.head) + layers_bytes(config, shape, cut.tail)
    return layers + ends * compute_width(config, shape)


def server_weights(config: RunConfig, shape: ModelShape, cut: Segments) -> float:
    """Bytes of base weights that the compute party holds, once for all clients."""
    ends = shape.body_ends if cut.u_shape else shape.output_ends
    return layers_bytes(config, shape, cut.body) + ends * compute_width(config, shape)
