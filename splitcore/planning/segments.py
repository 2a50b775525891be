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
    """One data party's cut."""

    head_layers: int
    body_layers: int
    tail_layers: int
    rank: int
    adapter_per_layer: int
    matrices_per_layer: int
    u_shape: bool

    @property
    def client_layers(self) -> int:
        """Decoder layers at the data party."""
        return self.head_layers + self.tail_layers

    @property
    def client_adapter(self) -> int:
        """Adapter parameters at the data party."""
        return self.client_layers * self.adapter_per_layer

    @property
    def body_adapter(self) -> int:
        """Adapter parameters at the compute party."""
        return self.body_layers * self.adapter_per_layer

    @property
    def client_matrices(self) -> int:
        """Adapter tensors at the data party."""
        return self.client_layers * self.matrices_per_layer


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
    adapted = shape.adapted(config.lora.target_modules)
    per_layer = sum(linear.adapter_parameters(config.lora.rank) for linear in adapted)
    return Segments(head, body, tail, config.lora.rank, per_layer, 2 * len(adapted), u_shape)


def compute_width(config: RunConfig, shape: ModelShape) -> int:
    """Bytes of a number that the base model computes with."""
    return WEIGHT_BYTES[shape.dtype if config.model.dtype == "auto" else config.model.dtype]


def layer_bytes(config: RunConfig, shape: ModelShape) -> float:
    """Bytes of a decoder layer's base weights; fused experts are not quantised."""
    width = compute_width(config, shape)
    quantised = QUANTISED_BYTES.get(config.model.quantisation, width)
    return sum(linear.parameters * (quantised if linear.copies == 1 else width) for linear in shape.linears)


def client_weights(config: RunConfig, shape: ModelShape, cut: Segments) -> float:
    """Bytes of base weights that a data party holds; a tied embedding that serves head and tail is held once."""
    output = shape.output_parameters if cut.u_shape and not shape.tied else 0
    ends = (shape.embedding_parameters + output) * compute_width(config, shape)
    return cut.client_layers * layer_bytes(config, shape) + ends


def server_weights(config: RunConfig, shape: ModelShape, cut: Segments) -> float:
    """Bytes of base weights that the compute party holds, once for all clients."""
    output = 0 if cut.u_shape else shape.output_parameters * compute_width(config, shape)
    return cut.body_layers * layer_bytes(config, shape) + output
