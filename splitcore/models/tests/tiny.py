"""Tiny random models of real architectures, saved as a user would have them, with a tokenizer built on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

LAYERS = 5
_ENDS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_COMMON: dict[str, Any] = {
    **_ENDS,
    "vocab_size": 264,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_COMMON),
    "qwen3": lambda: Qwen3Config(**_COMMON, head_dim=8, tie_word_embeddings=True),
    "mistral": lambda: MistralConfig(**_COMMON, sliding_window=8),
    "gemma3": lambda: Gemma3TextConfig(**_COMMON, head_dim=8, sliding_window=8),
    "phi3": lambda: Phi3Config(**_COMMON),
    "gpt2": lambda: GPT2Config(vocab_size=264, n_embd=16, n_layer=LAYERS, n_head=2, n_positions=64, **_ENDS),
    "opt": lambda: OPTConfig(
        vocab_size=264,
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=24,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        max_position_embeddings=64,
        **_ENDS,
    ),
}


def save_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=3 + len(alphabet), special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(["a"], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)


def save_model(folder: Path, family: str, *, shard_size: str | None = None, tied: bool | None = None) -> Path:
    """A model of `family` with random weights, in `folder`; `tied` says whether embedding and output head are one."""
    torch.manual_seed(1)
    config = FAMILIES[family]()
    if tied is not None:
        config.tie_word_embeddings = tied
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # large enough that the layers matter
            parameter.mul_(3.0) if parameter.dim() > 1 else None
    model.save_pretrained(folder, **({"max_shard_size": shard_size} if shard_size else {}))
    save_tokenizer(folder)
    return folder


def rows(count: int, *, word: str = "item") -> list[dict[str, Any]]:
    """Rows of different lengths."""
    return [{"prompt": f"{word} {i}", "completion": f" {i * 7 % 13}{'x' * (i % 4)}"} for i in range(count)]
