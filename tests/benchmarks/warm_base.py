"""A base model that has seen a little of the domain: the demo's, trained for some steps on rows that no run uses.

The demo's own base knows no restaurants at all: on E2E it starts at a loss of 6.9, and what a run has reached after a
hundred steps from there depends on every rounding. People adapt models that know the language already.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from splitcore.config import DataSection
from splitcore.data.batches import collate, padding_id
from splitcore.data.tokenise import encode_rows
from splitcore.optimise.loss import loss_sum

BATCH, RATE, WARMUP = 16, 1e-3, 20


def warm_base(base: Path, rows: Sequence[dict[str, Any]], steps: int, length: int, out: Path) -> None:
    """Train all weights of `base` on `rows`, in their order, with a rate that falls to zero; write it to `out`."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    encoded = encode_rows(list(rows), tokenizer, DataSection(), length)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    for step in range(steps):
        chosen = [encoded[(step * BATCH + at) % len(encoded)] for at in range(BATCH)]
        batch = collate(chosen, padding=padding_id(tokenizer))
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (1 - step / steps)
        logits = model(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, use_cache=False).logits
        (loss_sum(logits, batch.labels_BL) / batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
