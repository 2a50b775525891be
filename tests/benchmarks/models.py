"""Models made on the spot: Llama type, random weights, a byte-level tokenizer; and rows that fill a given length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from splitcore.config import RunConfig
from splitcore.models.tests.tiny import save_tokenizer

VOCABULARY = 4096


def llama_config(width: int, layers: int, *, vocabulary: int = VOCABULARY) -> LlamaConfig:
    """A Llama configuration with heads of 64 and the family's proportions."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=(width * 8 // 3 + 127) // 128 * 128,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


@contextmanager
def saved_model(width: int, layers: int, *, vocabulary: int = VOCABULARY) -> Iterator[Path]:
    """The folder of such a model, as `save_pretrained` leaves it; gone after the block."""
    with tempfile.TemporaryDirectory(prefix="cutlayer-bench-") as folder:
        torch.manual_seed(0)
        LlamaForCausalLM(llama_config(width, layers, vocabulary=vocabulary)).save_pretrained(folder)
        save_tokenizer(Path(folder))
        yield Path(folder)


def full_rows(count: int, length: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows that are cut off at `length` tokens or more: every batch has the same shape."""
    draw = Random(seed)
    return [{"text": "".join(draw.choice("abcdefgh ") for _ in range(length + 8))} for _ in range(count)]


def run_config(folder: Path, *, steps: int, rows: int, length: int, **sections: Any) -> RunConfig:
    """A run without evaluations; further sections are merged."""
    found: dict[str, Any] = {
        "model": {"name_or_path": str(folder)},
        "training": {"steps": steps, "batch_size": rows, "max_length": length, "eval_every": 0},
    }
    for name, fields in sections.items():
        found[name] = {**found.get(name, {}), **fields}
    return RunConfig.parse(found)
