"""What lengths and zeros tell of a party's rows without any attack (torch)."""

from __future__ import annotations

import math
from collections import Counter

import torch

from splitcore.audit.leaks.evidence import Evidence
from splitcore.audit.result import Shapes
from splitcore.data.tokenise import IGNORED


def shapes_of(evidence: Evidence) -> Shapes:
    """Of each row's first crossing. Raises ValueError where nothing crossed."""
    first = {row.number: place for place, row in reversed(list(enumerate(evidence.rows)))}
    told = [len(evidence.crossings[place].hidden_ND) for place in first.values()]
    true = [len(evidence.rows[place].ids_N) for place in first.values()]
    if not told:
        raise ValueError("nothing crossed")
    counts, rows = Counter(told), len(told)
    return Shapes(
        rows=rows,
        exact=sum(one == other for one, other in zip(told, true, strict=True)) / rows,
        alone=sum(counts[length] == 1 for length in told) / rows,
        bits=sum(count / rows * math.log2(rows / count) for count in counts.values()),
        prompts=sum(_tells_its_prompt(evidence, place) for place in first.values()) / rows,
    )


def _tells_its_prompt(evidence: Evidence, place: int) -> bool:
    """Whether the zeros among a row's gradients are exactly the tokens after which the loss counts nothing."""
    gradient_ND, labels_N = evidence.crossings[place].gradient_ND, evidence.rows[place].labels_N
    if gradient_ND is None:
        return False
    zero_N, ignored_N = ~gradient_ND[:-1].any(1), labels_N[1:] == IGNORED
    return bool(zero_N.any()) and torch.equal(zero_N, ignored_N)
