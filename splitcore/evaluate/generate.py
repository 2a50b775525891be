"""Greedy completions of a causal language model, batched with left padding.

Shapes: B prompts, L tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteriaList

from splitcore.config import DataSection
from splitcore.data.batches import padding_id
from splitcore.data.tokenise import encode_prompt


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_new_tokens: int,
    *,
    data: DataSection | None = None,
    batch_size: int = 32,
) -> list[str]:
    """Return the greedy completion of each prompt, without special tokens, in the order of ``prompts``.

    Parameters
    ----------
    model
        A causal language model of the library, with or without a PEFT adapter; it is left in the mode it came in.
    max_new_tokens
        The most tokens to generate; a completion ends earlier at the tokenizer's end token.
    data
        The run's data section, for its template; the plain one if not given.
    batch_size
        How many prompts are generated together; it does not change the result beyond rounding.
    """
    encoded = [encode_prompt(prompt, tokenizer, data or DataSection()) for prompt in prompts]
    texts: list[str] = []
    for start in range(0, len(encoded), batch_size):
        texts += generate_batch(model, tokenizer, encoded[start : start + batch_size], max_new_tokens)
    return texts


@torch.inference_mode()
def generate_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    *,
    stopping: StoppingCriteriaList | None = None,
) -> list[str]:
    """Generate greedily for prompts given as token ids, all in one batch; `stopping` may end a row earlier."""
    pad = padding_id(tokenizer)
    width = max(len(prompt) for prompt in prompts)
    ids_BL = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask_BL = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    was_training = model.training
    model.eval()
    try:
        out_BL = model.generate(  # type: ignore[operator]
            input_ids=ids_BL.to(model.device),
            attention_mask=mask_BL.to(model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            pad_token_id=pad,
            eos_token_id=tokenizer.eos_token_id,
            stopping_criteria=stopping,
        )
    finally:
        model.train(was_training)
    return list(tokenizer.batch_decode(out_BL[:, width:], skip_special_tokens=True))
