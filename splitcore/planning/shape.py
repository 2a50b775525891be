"""The dimensions of a decoder as measured on the model itself (`measure`), as far as planning needs them.

A worker measures a base model when it is registered, and its registration carries the result. What comes from another
party is bounded here: no shape can make a sum, a page or a loop larger than planning can bear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# Each far above the largest model that there is; products of them stay within what pages and columns hold.
MOST_LAYERS = 1 << 12
MOST_KINDS = 128
MOST_LINEARS = 1024  # of all kinds of layer together
MOST_PARAMETERS = 1 << 50

Targets = Sequence[str] | Literal["all-linear"]
Width = Annotated[int, Field(ge=1, le=1 << 24)]
Inner = Annotated[int, Field(ge=0, le=1 << 24)]
Parameters = Annotated[int, Field(ge=0, le=MOST_PARAMETERS)]
Path = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", max_length=120)]


class _Part(BaseModel):
    """Strict and frozen, since it also arrives from elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Linear(_Part):
    """One linear map; `path` is its name within the layer, of an output head within the model."""

    path: Path
    inputs: Width
    outputs: Width
    ranks: Annotated[int, Field(ge=1, le=1 << 16)] = 1  # times the adapter's rank that PEFT gives it
    all_linear: bool = True  # whether the target `all-linear` includes it
    quantises: bool = True  # whether `model.quantisation` includes it

    @property
    def parameters(self) -> int:
        """Weights of the matrix."""
        return self.inputs * self.outputs

    def adapter_parameters(self, rank: int) -> int:
        """Weights of the adapter."""
        return rank * self.ranks * (self.inputs + self.outputs)

    def is_target(self, targets: Targets) -> bool:
        """Whether a target names it in every layer."""
        if targets == "all-linear":
            return self.all_linear
        return any(_named(self.path, target) for target in targets)


class Layer(_Part):
    """One kind of decoder layer."""

    linears: tuple[Linear, ...] = Field(max_length=MOST_LINEARS)
    experts: Parameters = 0  # weights of experts that are held as one tensor
    expert_adapters: tuple[Linear, ...] = Field((), max_length=16)  # what `all-linear` places on them
    active_experts: Parameters = 0  # as many of them as one token meets
    other: Parameters = 0  # norms, biases, routers, convolutions
    heads: Annotated[int, Field(ge=0, le=1 << 15)] = 0  # of attention; 0 where there is none
    query: Inner = 0  # width of all heads together
    key: Inner = 0  # the same of keys, and of values
    inner: Inner = 0  # width inside the feed-forward part, of all experts that one token meets together

    @cached_property
    def weights(self) -> int:
        """Weights of the linear maps."""
        return sum(linear.parameters for linear in self.linears)

    @cached_property
    def quantised(self) -> int:
        """As many of them as `model.quantisation` packs."""
        return sum(linear.parameters for linear in self.linears if linear.quantises)

    @cached_property
    def adapted(self) -> int:
        """How many adapters `all-linear` places."""
        return sum(linear.all_linear for linear in self.linears) + len(self.expert_adapters)

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.weights + self.experts + self.other

    @property
    def active_parameters(self) -> int:
        """Weights of matrices that one token meets."""
        return self.weights + self.active_experts


class ModelShape(_Part):
    """A decoder's dimensions. Layers may differ: `order` has the kind of each, from the first to the last."""

    hidden: Width  # of what crosses a cut
    kinds: tuple[Layer, ...] = Field(min_length=1, max_length=MOST_KINDS)
    order: tuple[Annotated[int, Field(ge=0, lt=MOST_KINDS)], ...] = Field(min_length=1, max_length=MOST_LAYERS)
    layers_path: Path  # of the list of layers
    output_head: Linear
    # Weights that a segment holds beside its layers: a head, a body without the output, a segment with it.
    head_ends: Parameters
    body_ends: Parameters
    output_ends: Parameters
    shared_ends: Parameters = 0  # of a tied embedding, which head and tail of one party hold once
    dtype: Literal["float32", "bfloat16"] = "float32"  # what `model.dtype: auto` stands for

    @model_validator(mode="after")
    def _plannable(self) -> Self:
        if max(self.order) >= len(self.kinds):
            raise ValueError("a layer is of a kind that is not described")
        if sum(len(kind.linears) for kind in self.kinds) > MOST_LINEARS:
            raise ValueError("the layers have too many linear maps")
        if any(kind.active_experts > kind.experts for kind in self.kinds):
            raise ValueError("more experts are active than there are")
        if self.shared_ends > min(self.head_ends, self.output_ends):
            raise ValueError("head and tail share more than they hold")
        if not 0 < self.parameters <= MOST_PARAMETERS:
            raise ValueError("the model is too large")
        return self

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return len(self.order)

    @property
    def vocabulary(self) -> int:
        """Number of logits of a token."""
        return self.output_head.outputs

    def telling(self, classes: int) -> ModelShape:
        """The shape of the classifier of so many labels on the same layers; with 0, of the model itself."""
        if not classes:
            return self
        head = self.output_head.model_copy(update={"path": "score", "outputs": classes, "all_linear": False})
        ends = max(0, self.output_ends - self.output_head.parameters) + head.parameters
        return self.model_copy(update={"output_head": head, "output_ends": ends, "shared_ends": 0})

    @property
    def parameters(self) -> int:
        """Weights of layers, embedding and output; what head and tail both hold counts for both, if it isn't tied."""
        layers = sum(kind.parameters * times for kind, times in self.counted(range(self.layers)))
        return layers + self.head_ends + self.output_ends - self.shared_ends

    @property
    def largest_quantised(self) -> int:
        """Weights of the largest matrix that `model.quantisation` packs."""
        return max((one.parameters for kind in self.kinds for one in kind.linears if one.quantises), default=0)

    def counted(self, layers: range) -> list[tuple[Layer, int]]:
        """The kinds among some layers, and how often each occurs."""
        counts = Counter(self.order[layers.start : layers.stop])
        return [(self.kinds[kind], times) for kind, times in sorted(counts.items())]

    def adapted(self, targets: Targets, layers: range) -> list[tuple[Linear, int]]:
        """The linear maps that get an adapter in some layers, and in how many of these."""
        found = [
            (linear, times)
            for kind, times in self.counted(layers)
            for linear in (*kind.linears, *(kind.expert_adapters if targets == "all-linear" else ()))
            if linear.is_target(targets)
        ]
        if targets != "all-linear":
            named = {place for target in targets for place in _places(target) if place in layers}
            found += [(linear, 1) for place in sorted(named) for linear in self._named_at(place, targets)]
        return found

    def missing(self, targets: Targets) -> list[str]:
        """Target modules that the model does not have."""
        if targets == "all-linear":
            return []
        return [target for target in targets if not self._has(target)]

    def _has(self, target: str) -> bool:
        if _named(self.output_head.path, target):
            return True
        if any(_named(linear.path, target) for kind in self.kinds for linear in kind.linears):
            return True
        return any(True for place in _places(target) if place < self.layers for _ in self._named_at(place, [target]))

    def _named_at(self, place: int, targets: Sequence[str]) -> Iterator[Linear]:
        """The linear maps that targets name in this one layer alone."""
        for linear in self.kinds[self.order[place]].linears:
            full = f"{self.layers_path}.{place}.{linear.path}"
            if not linear.is_target(targets) and any(_named(full, target) for target in targets):
                yield linear


def missing_targets(shape: ModelShape | None, targets: Targets) -> str:
    """What is wrong with target modules that the model does not have; empty where its shape is not known."""
    missing = shape.missing(targets) if shape is not None else []
    if shape is None or not missing:
        return ""
    names = dict.fromkeys(linear.path.rpartition(".")[2] for kind in shape.kinds for linear in kind.linears)
    shown = ", ".join(list(names)[:20])
    return f"The base model has no {' and no '.join(missing[:5])}. Its layers have {shown}."


def told_layers(config: Mapping[str, Any]) -> set[int]:
    """Numbers of layers that a `config.json` names, which may be an encoder's too; empty where it names none."""
    return _told(config, ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"))


def told_widths(config: Mapping[str, Any]) -> set[int]:
    """Widths of hidden states that a `config.json` names, also below `text_config`."""
    return _told(config, ("hidden_size", "n_embd", "d_model", "dim"))


def contradiction(shape: ModelShape, config: Mapping[str, Any]) -> str:
    """What a `config.json` says otherwise than the shape; empty where they agree, or it names no such number."""
    layers, widths = told_layers(config), told_widths(config)
    if layers and shape.layers not in layers:
        return "the measured layers and those of config.json differ in number"
    if widths and not any(width and shape.hidden % width == 0 for width in widths):  # several streams lie side by side
        return "the measured width and that of config.json differ"
    return ""


def _told(config: Mapping[str, Any], names: Sequence[str]) -> set[int]:
    text = config.get("text_config")
    sources = [config, text] if isinstance(text, Mapping) else [config]
    values = [source.get(name) for source in sources for name in names]
    return {value for value in values if isinstance(value, int) and not isinstance(value, bool)}


def _named(path: str, target: str) -> bool:
    """PEFT's rule: a target is a module's name, or its end."""
    return path == target or path.endswith(f".{target}")


def _places(target: str) -> set[int]:
    """Numbers in a target, one of which may be a layer's."""
    return {int(part) for part in target.split(".") if part.isascii() and part.isdigit() and len(part) <= 4}
