"""Narrow sizes for a tiny twin: fewer heads, experts and states that still divide each other as the real ones do.

Rules go by what a field means, not by architecture: a rule applies wherever a configuration has the field.
"""

from __future__ import annotations

from typing import Any

TWIN_VOCABULARY = 64
_FEW_HEADS = 2
_LEAST_HEADS = {"codegen": 4}  # its fused projection is stored in four blocks
_HEADS = (
    "num_attention_heads",
    "n_head",
    "n_heads",
    "num_heads",
    "attention_heads",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "num_encoder_attention_heads",
    "num_decoder_attention_heads",
    "swa_num_attention_heads",
)
_GROUPS = ("num_key_value_heads", "swa_num_key_value_heads", "num_kv_heads", "num_query_groups")
_WIDTHS = (
    "word_embed_proj_dim",
    "n_embd",
    "embedding_size",
    "embedding_dim",
    "attention_hidden_size",
    "lru_width",
    "cross_attention_hidden_size",
)
# state-space mixers: heads, size of a head, expansion; heads x size = expansion x width
_STATE_SPACE = (
    ("mamba_n_heads", "mamba_d_head", "mamba_expand"),
    ("n_mamba_heads", "mamba_headdim", "mamba_expand"),
    ("mamba_num_heads", "mamba_head_dim", "expand"),
    ("num_heads", "head_dim", "expand"),
)
_STATE_GROUPS = ("mamba_n_groups", "mamba_ngroups", "n_groups")
_AT_MOST = {
    **dict.fromkeys(
        (
            *("intermediate_size", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "n_inner", "dff", "dim_ff"),
            *("d_inner", "ffn_hidden_size", "intermediate_size_mlp", "dense_intermediate_size"),
            *("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length", "seq_length"),
            *("vocab_size_per_layer_input", "pronunciation_vocab_size", "shape_vocab_size"),
        ),
        64,
    ),
    **dict.fromkeys(
        (
            *("moe_intermediate_size", "shared_expert_intermediate_size", "shared_experts_intermediate_size"),
            *("expert_ffn_hidden_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size"),
            *("kv_lora_rank", "q_lora_rank", "o_lora_rank"),
        ),
        32,
    ),
    **dict.fromkeys(("linear_num_heads", "linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("linear_head_dim", "linear_key_head_dim", "linear_value_head_dim"), 16),
    **dict.fromkeys(("mamba_d_state", "ssm_state_size", "state_size", "chunk_size", "mamba_chunk_size"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "zero_expert_num"), 2),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group"), 1),
}
_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "unk_token_id")


def few_tokens(text: Any) -> None:
    """A vocabulary of 64, and special tokens within it."""
    text.vocab_size = min(text.vocab_size, TWIN_VOCABULARY)
    for name in _TOKENS:
        if getattr(text, name, None) is not None:
            setattr(text, name, 0)


def few_markers(whole: Any) -> None:
    """Ids of image and audio tokens within the vocabulary, where the text of a test does not use them."""
    for name, value in list(vars(whole).items()):
        if name.endswith(("_token_id", "_token_index")) and isinstance(value, int) and value >= TWIN_VOCABULARY:
            setattr(whole, name, 2)


def narrow(text: Any) -> None:
    """Make the layers of a text configuration narrow, in place.

    Heads keep their width, since rotary settings depend on it; so the model's width follows from the number of heads.
    """
    width = text.hidden_size
    slim = _fewer_heads(text, width)
    for name in _WIDTHS:
        current = vars(text).get(name)
        if isinstance(current, int) and current % width == 0:
            setattr(text, name, slim * (current // width))
    _narrow_states(text, width, slim)
    at_most(text)
    if vars(text).get("n_inner", 0) is None:  # means four times the width
        text.n_inner = _AT_MOST["n_inner"]


def at_most(part: Any) -> None:
    """Bound the sizes that depend on no other."""
    for name, most in _AT_MOST.items():
        current = vars(part).get(name)
        if isinstance(current, int) and not isinstance(current, bool) and current > most:
            setattr(part, name, most)


def _fewer_heads(text: Any, width: int) -> int:
    """Reduce the heads and the width with them; returns the new width."""
    heads = [name for name in _HEADS if isinstance(vars(text).get(name), int)]
    if not heads or _is_pure_state_space(text):
        text.hidden_size = min(width, 64)
        return int(text.hidden_size)
    first = getattr(text, heads[0])
    explicit = getattr(text, "head_dim", None)
    fewer = min(_LEAST_HEADS.get(text.model_type, _FEW_HEADS), first)
    slim = fewer * (width // first)
    if explicit is not None:  # the width does not follow from the heads; grouped matrix products want a multiple of 16
        slim = -(-fewer * explicit // 16) * 16
    elif hasattr(text, "head_dim"):
        text.head_dim = width // first
    for name in _GROUPS:
        groups = vars(text).get(name)
        if groups is not None:
            setattr(text, name, fewer if groups == first else 1)
        elif hasattr(text, name) and name in vars(text):
            setattr(text, name, fewer)
    for name in heads:
        setattr(text, name, fewer)
    text.hidden_size = slim
    return int(slim)


def _is_pure_state_space(text: Any) -> bool:
    """Whether the heads are those of a state-space mixer and no attention's (mamba2)."""
    return hasattr(text, "state_size") and not hasattr(text, "num_attention_heads")


def _narrow_states(text: Any, width: int, slim: int) -> None:
    """Keep heads x size = expansion x width where it held."""
    for heads, size, expansion in _STATE_SPACE:
        present = [vars(text).get(name) for name in (heads, size, expansion)]
        if not all(isinstance(value, int) for value in present):
            continue
        if present[0] * present[1] == present[2] * width:
            setattr(text, heads, _FEW_HEADS)
            setattr(text, size, present[2] * slim // _FEW_HEADS)
            for name in _STATE_GROUPS:
                if isinstance(vars(text).get(name), int):
                    setattr(text, name, 1)
