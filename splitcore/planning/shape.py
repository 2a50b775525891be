"""The dimensions of a decoder, read from its Hugging Face `config.json`, as far as planning needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from splitcore.config import resolve_dtype
from splitcore.errors import AppError

FUSED_ATTENTION = {
    "gpt2": ("c_attn", "c_proj"),
    "gpt_bigcode": ("c_attn", "c_proj"),
    "phi3": ("qkv_proj", "o_proj"),
    "gpt_neox": ("query_key_value", "dense"),
    "bloom": ("query_key_value", "dense"),
    "falcon": ("query_key_value", "dense"),
}
PLAIN_MLP = {  # families whose feed-forward part has no gate
    "gpt2": ("c_fc", "c_proj"),
    "gpt_bigcode": ("c_fc", "c_proj"),
    "gpt_neox": ("dense_h_to_4h", "dense_4h_to_h"),
    "bloom": ("dense_h_to_4h", "dense_4h_to_h"),
    "falcon": ("dense_h_to_4h", "dense_4h_to_h"),
    "opt": ("fc1", "fc2"),
    "phi": ("fc1", "fc2"),
    "starcoder2": ("c_fc", "c_proj"),
}
OUTPUT_NAMES = {"opt": "out_proj", "phi": "dense"}
OUTPUT_HEADS = frozenset({"lm_head", "embed_out"})  # which may have an adapter too, where weights are not shared
LEARNED_POSITIONS = {"gpt2", "gpt_bigcode", "opt"}
TIED_BY_DEFAULT = {"gpt2", "gpt_bigcode", "opt", "bloom", "gemma", "gemma2", "gemma3", "gemma3_text", "starcoder2"}
GATED = {
    *("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3"),
    *("gemma3_text", "phi3", "granite", "olmo", "olmo2", "smollm3", "cohere", "stablelm"),
}


@dataclass(frozen=True)
class Linear:
    """One linear map of a decoder layer, or as many as there are experts; `ranks` times the rank adapts them all."""

    name: str
    inputs: int
    outputs: int
    copies: int = 1
    ranks: int = 1

    @property
    def parameters(self) -> int:
        """Weights, of all copies."""
        return self.inputs * self.outputs * self.copies

    def adapter_parameters(self, rank: int) -> int:
        """Weights of the adapter."""
        return rank * self.ranks * (self.inputs + self.outputs)


@dataclass(frozen=True)
class ModelShape:
    """A decoder's dimensions; with experts, `intermediate` is the width of one.

    `known` is False for a family whose layout was guessed.
    """

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int
    tied: bool
    linears: tuple[Linear, ...]
    positions: int = 0
    experts: int = 0
    active_experts: int = 0
    known: bool = True
    dtype: str = "float32"  # what `model.dtype: auto` stands for

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """Read a parsed `config.json`. Raises AppError CL-1101 when it describes no decoder with layers."""
        dtype = resolve_dtype("auto", config)
        text = config.get("text_config")
        if isinstance(text, Mapping):
            config = {"tie_word_embeddings": config.get("tie_word_embeddings"), **text}
        family = str(config.get("model_type", ""))
        layers = _first(config, ("num_hidden_layers", "n_layer", "num_layers"))
        hidden = _first(config, ("hidden_size", "n_embd", "d_model"))
        vocabulary = _first(config, ("vocab_size",))
        heads = _first(config, ("num_attention_heads", "n_head", "num_heads"), 1)
        if not (layers and hidden and vocabulary and heads):
            raise AppError("CL-1101", "The model's configuration names no number of layers, width or vocabulary.")
        intermediate = _first(config, ("intermediate_size", "n_inner", "ffn_dim"), 4 * hidden)
        kv_heads = _first(config, ("num_key_value_heads",), 1 if config.get("multi_query") else heads)
        head_size = _first(config, ("head_dim",), hidden // heads)
        experts = _first(config, ("num_local_experts", "num_experts", "n_routed_experts"))
        if experts:
            intermediate = _first(config, ("moe_intermediate_size",), intermediate)
        tied = config.get("tie_word_embeddings")
        return cls(
            layers,
            hidden,
            intermediate,
            vocabulary,
            heads,
            kv_heads,
            head_size,
            (family in TIED_BY_DEFAULT) if tied is None else bool(tied),
            (
                *_attention(family, hidden, heads * head_size, kv_heads * head_size),
                *(_experts(experts, hidden, intermediate) if experts else _feed_forward(family, hidden, intermediate)),
            ),
            _first(config, ("n_positions", "max_position_embeddings")) if family in LEARNED_POSITIONS else 0,
            experts,
            _first(config, ("num_experts_per_tok",), 1) if experts else 0,
            family in GATED or family in PLAIN_MLP,
            dtype,
        )

    @property
    def layer_parameters(self) -> int:
        """Weights of one decoder layer; norms and biases, below one in a hundred, are left out."""
        return sum(linear.parameters for linear in self.linears)

    @property
    def active_layer_parameters(self) -> int:
        """Weights that one token meets in a decoder layer."""
        return self.layer_parameters - (self.experts - self.active_experts) * 3 * self.hidden * self.intermediate

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embedding of tokens and, where learned, positions."""
        return (self.vocabulary + self.positions) * self.hidden

    @property
    def output_parameters(self) -> int:
        """Weights of the output head."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Weights of the whole model."""
        own_head = 0 if self.tied else self.output_parameters
        return self.layers * self.layer_parameters + self.embedding_parameters + own_head

    def adapted(self, targets: Sequence[str] | Literal["all-linear"]) -> list[Linear]:
        """The linear maps of one layer that get an adapter; a target names the last part of a module's path."""
        if targets == "all-linear":
            return list(self.linears)
        names = {target.rsplit(".", 1)[-1] for target in targets}
        return [linear for linear in self.linears if linear.name in names]


def missing_targets(config: Mapping[str, Any], targets: Sequence[str] | Literal["all-linear"]) -> str:
    """What is wrong with target modules that a model of a known layout does not have; empty where nothing is known."""
    try:
        shape = ModelShape.from_config(config)
    except AppError:
        return ""
    if targets == "all-linear" or not shape.known or shape.experts:  # shared experts have modules of their own
        return ""
    names = [linear.name for linear in shape.linears]
    missing = [target for target in targets if target.rsplit(".", 1)[-1] not in {*names, *OUTPUT_HEADS}]
    if not missing:
        return ""
    return f"The base model has no {' and no '.join(missing[:5])}. Its layers have {', '.join(names)}."


def _attention(family: str, hidden: int, query: int, key: int) -> tuple[Linear, ...]:
    if family in FUSED_ATTENTION:
        inward, outward = FUSED_ATTENTION[family]
        return (Linear(inward, hidden, query + 2 * key), Linear(outward, query, hidden))
    return (
        Linear("q_proj", hidden, query),
        Linear("k_proj", hidden, key),
        Linear("v_proj", hidden, key),
        Linear(OUTPUT_NAMES.get(family, "o_proj"), query, hidden),
    )


def _feed_forward(family: str, hidden: int, intermediate: int) -> tuple[Linear, ...]:
    if family in PLAIN_MLP:
        inward, outward = PLAIN_MLP[family]
        return (Linear(inward, hidden, intermediate), Linear(outward, intermediate, hidden))
    if family == "phi3":
        return (Linear("gate_up_proj", hidden, 2 * intermediate), Linear("down_proj", intermediate, hidden))
    return (
        Linear("gate_proj", hidden, intermediate),
        Linear("up_proj", hidden, intermediate),
        Linear("down_proj", intermediate, hidden),
    )


def _experts(experts: int, hidden: int, intermediate: int) -> tuple[Linear, ...]:
    """Experts as transformers 5 fuses them; PEFT gives gate and up, which are one tensor, twice the rank."""
    return (
        Linear("gate", hidden, experts),
        Linear("gate_up_proj", hidden, 2 * intermediate, experts, 2 * experts),
        Linear("down_proj", intermediate, hidden, experts, experts),
    )


def _first(config: Mapping[str, Any], names: Sequence[str], default: int = 0) -> int:
    """The first of several spellings that holds a positive whole number."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return default
