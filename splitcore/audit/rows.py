"""Who has which of a party's rows in an audit: those that are attacked, and those that the observer is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from splitcore.audit.portfolio import Portfolio
from splitcore.data.tokenise import encode_rows, rows_with_target
from splitcore.errors import AppError
from splitcore.models.loading import read_tokenizer
from splitcore.run.plan import RunPlan

COMMON = 1000  # the most frequent tokens of the observer's text are not rare

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SharedRows:
    """targets: rows that cross and are attacked, but for the first `known`, which the observer knows.

    auxiliary: token ids of rows that the observer has. outsiders: some of those rows. common: frequent tokens of those.
    special: tokens that the tokenizer puts into every row.
    """

    targets: Rows
    known: int
    auxiliary: list[list[int]]
    outsiders: Rows
    common: list[int]
    special: frozenset[int]


def share_out(plan: RunPlan, rows: Rows, chosen: Portfolio, *, seed: int) -> SharedRows:
    """Draw who has what. Rows of one text count once. Raises AppError CL-1550 where they are too few, else CL-12xx."""
    tokenizer: Any = read_tokenizer(plan.folder)
    config = plan.settings.config
    rows = rows_with_target(rows, tokenizer, config.data, config.training.max_length)
    encoded = encode_rows(rows, tokenizer, config.data, config.training.max_length)
    drawn = list({row.ids: place for place, row in enumerate(encoded)}.values())
    Random(seed).shuffle(drawn)  # noqa: S311 - a draw of rows, no secret
    count = min(chosen.records, max(chosen.least_records, len(drawn) // 2))
    known = min(chosen.known, max(len(drawn) - count, 0) // 4)
    attacked, others = drawn[known : known + count], drawn[known + count : known + count + chosen.auxiliary]
    tokens = sum(len(encoded[place].ids) for place in attacked)
    if len(attacked) < chosen.least_records or tokens < chosen.least_tokens:
        raise AppError(
            "CL-1550",
            f"{len(attacked)} different rows with {tokens} tokens can be attacked; "
            f"at least {chosen.least_records} with {chosen.least_tokens} are needed.",
        )
    auxiliary = [list(encoded[place].ids) for place in others]
    common = [token for token, _ in Counter(token for ids in auxiliary for token in ids).most_common(COMMON)]
    targets = [rows[place] for place in drawn[: known + count]]
    outsiders = [rows[place] for place in others[: chosen.outsiders]]
    return SharedRows(targets, known, auxiliary, outsiders, common, frozenset(tokenizer.all_special_ids))
