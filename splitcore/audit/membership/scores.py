"""How much better an adapter knows each row than the public base model does (torch). Shapes: B rows, L tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from splitcore.adapters.merge import adapted_model
from splitcore.data.batches import collate, padding_id
from splitcore.data.tokenise import IGNORED, Encoded, encode_rows
from splitcore.models.loading import load_whole, read_tokenizer
from splitcore.optimise.loss import loss_sum
from splitcore.run.plan import RunPlan

Rows = Sequence[Mapping[str, Any]]


@torch.no_grad()
def calibrated(plan: RunPlan, adapter: Path, rows: Rows) -> list[float]:
    """L_base − L_tuned of each row: mean loss of its target tokens. Every row must have a target.

    What a row costs the public model is no sign of training on it, so that it is taken off (arXiv 2111.08440). Of a
    task with labels nothing is, since the public model tells none.
    Raises AppError CL-1103, CL-1106.
    """
    config, tokenizer = plan.settings.config, read_tokenizer(plan.folder)
    encoded = encode_rows(rows, tokenizer, config.data, config.training.max_length)
    padding = padding_id(tokenizer)
    classes = config.data.task.classes
    model = load_whole(plan.folder, config.model, classes=classes)
    before = [0.0 if classes else _loss(model, row, padding) for row in encoded]
    tuned = adapted_model(model, adapter)
    return [loss - _loss(tuned, row, padding) for loss, row in zip(before, encoded, strict=True)]


def _loss(model: Any, row: Encoded, padding: int) -> float:
    batch = collate([row], padding=padding)
    logits = model(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, use_cache=False).logits
    if batch.is_class:  # the library's classifier gives the row's scores (1, K) alone
        return float(cross_entropy(logits.float(), batch.labels_BL[batch.labels_BL != IGNORED]))
    return float(loss_sum(logits, batch.labels_BL)) / batch.targets
