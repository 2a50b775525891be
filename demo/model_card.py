"""The model card that goes with the demo's base model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

CARD = """---
library_name: transformers
pipeline_tag: text-generation
---
# The demo's base model

A decoder of {parameters:,} parameters (stock Llama architecture, eight layers, tied embeddings, bf16) with a
byte-level BPE tokenizer in which every digit is a token of its own. It exists so that the demo can fine-tune
something real without a download: it copies names, numbers, dates and codes out of a prompt that it has never seen.
It knows nothing about the world and is of no use as an assistant.

## How it was made

`make demo-model` makes it again: the same seed, torch {torch} and two threads gave a `model.safetensors` with the
SHA-256 `{digest}`.
The project's own generator (`demo/text/`) writes every training example from the
seed: copying, repeating, looking up and rewriting fields, applying small tables given in the prompt, extracting facts
from sentences about everyday life, plain sentences. No other text was used. The two private domains of the demo
(clinic notes and bank tickets) are not part of it: their formats and code tables are met in fine-tuning alone.

{recipe}

## Measured

Exact match of the greedy completion on {examples} fresh examples of each task, from a seed not used in training:

| task | exact match |
| --- | --- |
{figures}

The training took {minutes:.0f} minutes of wall time; other work on the same machine is part of that.
"""


def write_card(
    folder: Path,
    recipe: Mapping[str, object],
    figures: Mapping[str, float],
    *,
    examples: int,
    parameters: int,
    seconds: float,
) -> None:
    """Write README.md from what was set and what was measured; the weights are in `folder` already."""
    text = CARD.format(
        parameters=parameters,
        recipe=", ".join(f"{name.replace('_', ' ')} {value}" for name, value in recipe.items()) + ".",
        figures="\n".join(f"| {name.replace('_', ' ')} | {value:.2f} |" for name, value in figures.items()),
        examples=examples,
        minutes=seconds / 60,
        torch=torch.__version__.partition("+")[0],
        digest=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
