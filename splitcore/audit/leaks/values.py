"""Detectors of what numbers, zeros and lengths tell by themselves (torch). Shapes: N tokens of a row, D hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from splitcore.attacks.transcript import Crossing
from splitcore.audit.capture import Row
from splitcore.audit.leaks.evidence import Evidence
from splitcore.audit.leaks.found import LeakCheck
from splitcore.audit.leaks.statistics import ALARM, poisson_above

OTHERS = 100  # other rows whose ids are compared, to know how often a number is an id by chance
ROUNDING = {"fp32": 0.0, "fp16": 2.0**-11, "bf16": 2.0**-8}  # relative
COARSE = 2.0**-6  # of any other format
Tensors = Callable[[Crossing], torch.Tensor | None]
CROSSED: dict[str, Tensors] = {"hidden states": lambda one: one.hidden_ND, "gradients": lambda one: one.gradient_ND}


def token_ids(evidence: Evidence) -> LeakCheck:
    """Numbers that are the id of their place's token or of the next one, more often than they are those of other rows.

    Each id counts once, since a token that occurs twice has similar vectors.
    """
    formats = {"hidden states": evidence.config.wire.activations, "gradients": evidence.config.wire.gradients}
    for what, tensors in CROSSED.items():
        given = [tensors(one) for one in evidence.crossings]
        rounding = ROUNDING.get(formats[what].name, COARSE)
        own = _ids_among(given, evidence.rows, rounding)
        count = len(evidence.rows)
        shifts = range(1, min(OTHERS, count - 1) + 1)
        chance = sum(
            len(_ids_among(given, [evidence.rows[(place + shift) % count] for place in range(count)], rounding))
            for shift in shifts
        )
        if poisson_above(len(own), (chance + 0.5) / max(len(shifts), 1)) < ALARM:
            told = f"{len(own)} different token ids stand among the numbers of {what}."
            return LeakCheck(leak="token_ids", outcome="found", told=told)
    return LeakCheck(leak="token_ids", outcome="not_found")


def zero_rows(evidence: Evidence) -> LeakCheck:
    """Vectors of zeros before a row's last place. The last predicts nothing: its gradient is zero in any run."""
    for what, tensors in CROSSED.items():
        given = [found_ND[:-1] for one in evidence.crossings if (found_ND := tensors(one)) is not None]
        zeros = sum(int((~found_ND.any(1)).sum()) for found_ND in given)
        if zeros:
            of = sum(len(found_ND) for found_ND in given)
            told = f"{zeros:,} of {of:,} vectors of {what} are zero: they tell which tokens the loss counts."
            return LeakCheck(leak="zero_rows", outcome="found", told=told)
    return LeakCheck(leak="zero_rows", outcome="not_found")


def lengths(evidence: Evidence) -> LeakCheck:
    """Rows that cross with another length than the declared ones."""
    if evidence.buckets is None:
        return LeakCheck(leak="lengths", outcome="not_looked", told="This run declares that exact lengths cross.")
    odd = sum(bool(len(one.hidden_ND) % evidence.buckets) for one in evidence.crossings)
    if odd:
        told = f"The length of {odd:,} of {len(evidence.crossings):,} rows is no multiple of {evidence.buckets}."
        return LeakCheck(leak="lengths", outcome="found", told=told)
    return LeakCheck(leak="lengths", outcome="not_found")


def _ids_among(given: Sequence[torch.Tensor | None], rows: Sequence[Row], rounding: float) -> set[int]:
    """The ids that a number of their place equals, but for the format's rounding."""
    found = set[int]()
    for values_ND, row in zip(given, rows, strict=True):
        if values_ND is None:
            continue
        for ids_N in (row.ids_N, row.ids_N[1:]):
            count = min(len(values_ND), len(ids_N))
            wanted_N1 = ids_N[:count, None].to(values_ND)
            near_ND = (values_ND[:count] - wanted_N1).abs() <= rounding * wanted_N1
            hit_N = near_ND.any(1) & (ids_N[:count] > 0)  # zero is no id that anyone would notice
            found.update(ids_N[:count][hit_N].tolist())
    return found
