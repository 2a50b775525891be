"""A valid configuration of every causal-LM type: the class's defaults, completed where these alone build no decoder."""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

_DECODER = {"is_decoder": True}
_INDEXER = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 256,
    "indexer_budget": 64,
    "indexer_compress_ratio": 4,
}
_NO_PER_LAYER_INPUT = {"hidden_size_per_layer_input": 0}
COMPLETED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        (
            *("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie"),
            *("megatron-bert", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer"),
            *("xlm-roberta", "xlm-roberta-xl"),
        ),
        _DECODER,
    ),
    "bloom": {"n_layer": 5},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "dbrx": {"attn_config": {"rope_theta": 1e4, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "gemma4": {"text_config": _NO_PER_LAYER_INPUT},
    "gemma4_assistant": {"text_config": {**_NO_PER_LAYER_INPUT, "vocab_size_per_layer_input": 0}},
    "gemma4_text": _NO_PER_LAYER_INPUT,
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention"] * 10 + ["conv", "full_attention"]},
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "xlm": {"causal": True},
    "xlstm": {"hidden_size": 256, "num_heads": 4},
    "xmod": {**_DECODER, "default_language": "en_XX"},
}


def configuration(model_type: str) -> PreTrainedConfig:
    """The configuration that the test of `model_type` uses."""
    config: PreTrainedConfig = CONFIG_MAPPING[model_type](**COMPLETED.get(model_type, {}))
    return config
