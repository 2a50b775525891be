"""Evaluation of a model on held-out rows: mean token loss and exact match of the structured answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from splitcore.config import DataSection
from splitcore.data.batches import collate, padding_id
from splitcore.data.rows import Row, check_row
from splitcore.data.tokenise import IGNORED, Encoded, encode_row
from splitcore.evaluate.generate import generate_batch

SAMPLES = 8


@dataclass(frozen=True)
class Sample:
    """One prompt with the completion that was wanted and the one that the model gave."""

    prompt: str
    expected: str
    generated: str
    correct: bool


@dataclass(frozen=True)
class EvaluationResult:
    """What one model did on one set of rows.

    Attributes
    ----------
    loss
        Mean cross-entropy, in nats, over all tokens that count in the loss, of all rows.
    tokens
        How many tokens that mean is over.
    exact_match
        Share of rows whose greedy completion equals the expected one, both stripped; None for rows of plain text,
        which have no answer.
    rows
        How many rows were evaluated.
    samples
        The first few rows with what was generated. They hold the rows' text: they stay at the site that owns it.
    """

    loss: float
    tokens: int
    exact_match: float | None
    rows: int
    samples: tuple[Sample, ...]


def evaluate_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    *,
    max_length: int,
    max_new_tokens: int,
    batch_size: int = 16,
    data: DataSection | None = None,
) -> EvaluationResult:
    """Measure the loss and the exact match of ``model`` on rows, which are encoded as training encodes them.

    Parameters
    ----------
    model
        A causal language model of the library, with or without a PEFT adapter; it is left in the mode it came in.
    rows
        Prompt/completion, messages or text rows.
    max_length
        Tokens of a row beyond this are left out of the loss, as they are in training.
    max_new_tokens
        The most tokens of a generated completion.
    data
        The run's data section (template, loss, columns); the defaults if not given.

    Raises
    ------
    ValueError
        If there are no rows.
    RowError
        If a row is not usable; nothing of its content is in the error.
    """
    if not rows:
        raise ValueError("there are no rows to evaluate")
    section = data or DataSection()
    checked = [check_row(row, section.columns) for row in rows]
    encoded = [encode_row(row, tokenizer, section, max_length) for row in checked]
    asked = section.model_copy(update={"loss_on": "completion"})
    prompts = [prompt_of(encode_row(row, tokenizer, asked, max_length)) for row in checked if not row.is_text]
    was_training = model.training
    model.eval()
    try:
        loss, tokens = mean_loss(model, tokenizer, encoded, batch_size)
        generated: list[str] = []
        for start in range(0, len(prompts), batch_size):
            generated += generate_batch(model, tokenizer, prompts[start : start + batch_size], max_new_tokens)
    finally:
        model.train(was_training)
    answerable = [row for row in checked if not row.is_text]
    judged = [judge(row, text) for row, text in zip(answerable, generated, strict=True)]
    exact_match = sum(sample.correct for sample in judged) / len(judged) if judged else None
    return EvaluationResult(loss, tokens, exact_match, len(rows), tuple(judged[:SAMPLES]))


@torch.inference_mode()
def mean_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encoded: Sequence[Encoded], batch_size: int
) -> tuple[float, int]:
    """Return the mean cross-entropy over the tokens that count, and how many there are."""
    total, tokens = 0.0, 0
    for start in range(0, len(encoded), batch_size):
        batch = collate(encoded[start : start + batch_size], padding=padding_id(tokenizer), device=str(model.device))
        logits_BLV = model(input_ids=batch.ids_BL, attention_mask=batch.mask_BL).logits
        counted_BL = batch.labels_BL[:, 1:] != IGNORED
        scores_NV = logits_BLV[:, :-1][counted_BL].float()
        total += cross_entropy(scores_NV, batch.labels_BL[:, 1:][counted_BL], reduction="sum").item()
        tokens += batch.targets
    return total / tokens, tokens


def prompt_of(encoded: Encoded) -> list[int]:
    """Return the tokens before the first one that counts, which is where the answer starts."""
    start = next(place for place, label in enumerate(encoded.labels) if label != IGNORED)
    return list(encoded.ids[:start])


def judge(row: Row, generated: str) -> Sample:
    """Compare a generated completion with the row's own; surrounding white space does not count."""
    expected = row.completion.strip()
    return Sample(row.prompt, expected, generated.strip(), generated.strip() == expected)
