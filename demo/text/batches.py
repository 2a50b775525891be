"""Packing of examples into token blocks of one length for pre-training."""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from demo.text.general import COPYING, TASKS, Example, example

# Prompts are mostly random values that nobody can foresee: one token in ten is learned, completions in full.
PROMPT_SHARE = 0.1
PAD, BOS, EOS = 0, 1, 2  # the order of the tokenizer's special tokens
# How many examples in a row may find no room before a batch counts as full.
MISSES = 48


def block_batch(
    tokenizer: Tokenizer, rng: Random, blocks: int, length: int, copying: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return token ids and a mask of the tokens to learn, both (blocks, length); ``copying`` is the plain share."""
    ids = np.full((blocks, length), PAD, dtype=np.int64)
    learned = np.zeros((blocks, length), dtype=np.bool_)
    used = np.zeros(blocks, dtype=np.int64)
    missed = 0
    while missed < MISSES:
        for tokens, mask in _encoded(tokenizer, rng, _examples(rng, 64, copying)):
            row = int(np.argmax(used + len(tokens) <= length))
            if used[row] + len(tokens) > length:
                missed += 1
                continue
            missed, span = 0, slice(int(used[row]), int(used[row]) + len(tokens))
            ids[row, span], learned[row, span] = tokens, mask
            used[row] += len(tokens)
    return ids, learned


def _examples(rng: Random, count: int, copying: float) -> list[Example]:
    return [example(rng, COPYING if rng.random() < copying else TASKS) for _ in range(count)]


def _encoded(tokenizer: Tokenizer, rng: Random, examples: list[Example]) -> list[tuple[list[int], list[bool]]]:
    prompts = tokenizer.encode_batch([prompt for prompt, _ in examples], add_special_tokens=False)
    completions = tokenizer.encode_batch([completion for _, completion in examples], add_special_tokens=False)
    rows = []
    for prompt, completion in zip(prompts, completions, strict=True):
        tokens = [BOS, *prompt.ids, *completion.ids, EOS]
        mask = [False, *(rng.random() < PROMPT_SHARE for _ in prompt.ids), *([True] * (len(completion.ids) + 1))]
        rows.append((tokens, mask))
    return rows
