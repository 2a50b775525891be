"""What no attacker can exceed on hidden states of an audited run, where its noise has a known law (torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch

from splitcore.attacks.interface import VALUES
from splitcore.audit.null import null_figures
from splitcore.audit.result import CeilingPoint, CeilingResult, Gains
from splitcore.audit.rows import SharedRows
from splitcore.audit.scoring import Scored
from splitcore.ceilings.figure import NOTHING, Ceilings
from splitcore.ceilings.measure import Record, measure
from splitcore.ceilings.rows import ClippedHead, why_unbounded
from splitcore.data.tokenise import encode_rows
from splitcore.models.carve import hidden_width
from splitcore.models.loading import read_tokenizer
from splitcore.run.plan import RunPlan


def ceiling_of(plan: RunPlan, shared: SharedRows, *, blind: float | None, seed: int) -> CeilingResult:
    """The ceilings of the attacked rows, or why there are none; the observer's text is the reference.

    blind: what an attacker guesses without the hidden states and the text, for the ceiling that is his alone.
    """
    config = plan.settings.config
    records = _records(plan, shared)
    if why := why_unbounded(config) or _why_unmeasured(records, shared):
        return CeilingResult(why_none=why)
    auxiliary = [torch.tensor(ids, dtype=torch.int64) for ids in within_memory(shared.auxiliary, plan)]
    found = measure(ClippedHead(plan), records, auxiliary, longest=config.training.max_length, seed=seed)
    return CeilingResult(
        at_null=_of_records(found.ceilings, blind) if blind is not None else None,
        curve=[
            CeilingPoint(kappa=kappa, value=at.value, bound=at.bound, says_something=at.says_something)  # type: ignore[arg-type]
            for kappa, at in found.ceilings.curve()
        ],
        gains=Gains(**found.ceilings.gains()),
        record_bits=found.record_nats / math.log(2),
        token_bits=found.token_nats / math.log(2),
        tokens=found.tokens,
    )


def blind_of(plan: RunPlan, shared: SharedRows, best: Scored | None, *, seed: int) -> float | None:
    """The upper end of what an attack on hidden states read of other records, in the tokens that a ceiling counts.

    None where it gave no answer, or no two records differ.
    """
    if best is None:
        return None
    known = shared.known
    counted = {known + place: record.scored_N for place, record in enumerate(_records(plan, shared))}
    truths = [
        replace(truth, scored_N=counted.get(truth.record, torch.zeros_like(truth.scored_N))) for truth in best.truths
    ]
    if not any(bool(truth.scored_N.any()) for truth in truths):
        return None
    null = null_figures(best.guesses, truths, common=(), seed=seed)
    return null.tokens.high if null is not None else None


def _of_records(ceilings: Ceilings, blind: float) -> CeilingPoint:
    """B1 alone: the others need the success of readers who have some of the text, which is higher."""
    value = ceilings.record.ceiling(blind)
    return CeilingPoint(kappa=blind, value=value, bound="record", says_something=value < NOTHING)


def within_memory(rows: Sequence[list[int]], plan: RunPlan) -> list[list[int]]:
    """The first rows, as many as their hidden states have room: any other text may be the reference."""
    most = VALUES // hidden_width(plan.model_config)
    ends = accumulate(len(row) for row in rows)
    return [row for row, end in zip(rows, ends, strict=True) if end <= most] or list(rows[:1])


def _records(plan: RunPlan, shared: SharedRows) -> list[Record]:
    """The attacked rows. As in the attacks' figures, no token counts that the tokenizer puts into every row."""
    config, rows = plan.settings.config, shared.targets[shared.known :]
    encoded = encode_rows(rows, read_tokenizer(plan.folder), config.data, config.training.max_length)
    skipped = torch.tensor(sorted(shared.special), dtype=torch.int64)
    records = [Record.of(row) for row in encoded]
    return [replace(one, scored_N=one.scored_N & ~torch.isin(one.ids_N, skipped)) for one in records]


def _why_unmeasured(records: list[Record], shared: SharedRows) -> str:
    if not shared.auxiliary:
        return "There is no other text to take a reference from."
    if not any(bool(record.scored_N.any()) for record in records):
        return "Every token is a label, and labels are told by gradients without noise."
    return ""
