"""The demo's base model: its architecture, and what is measured on it before any fine-tuning."""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from demo.text.general import TASKS, Task, plain_sentence

FOLDER = Path(__file__).parent / "base_model"
# Eight layers make a cut of 2|4|2 possible; four heads of 48 suffice for copying and cost less than six of 32.
LAYERS, HIDDEN, HEADS, INTERMEDIATE = 8, 192, 4, 512


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Return the untrained model, a stock Llama with tied embeddings."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    # At this size plain attention is faster on a CPU than the fused kernel, whose backward pass is slow there.
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config)


def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, count: int = 64
) -> dict[str, float]:
    """Return the exact match of every general task that has one answer, on ``count`` fresh examples."""
    rng = Random(f"measure {seed}")
    tasks = [task for task, _ in TASKS if task is not plain_sentence]
    return {task.__name__: exact_match(model, tokenizer, task, rng, count) for task in tasks}


@torch.no_grad()
def exact_match(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, task: Task, rng: Random, count: int
) -> float:
    """Return the share of completions whose every token is the likeliest, which is when greedy decoding agrees."""
    rows = [task(rng) for _ in range(count)]
    prompts = [tokenizer(prompt)["input_ids"] for prompt, _ in rows]
    answers = [tokenizer(answer, add_special_tokens=False)["input_ids"] for _, answer in rows]
    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((count, width), tokenizer.pad_token_id)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
    guesses = model(input_ids=ids).logits.argmax(-1)
    right = 0
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        span = guesses[row, len(prompt) - 1 : len(prompt) + len(answer) - 1]
        right += span.tolist() == answer
    return right / count
