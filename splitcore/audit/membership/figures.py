"""How well scores tell members from others: AUC and the true positives at few false ones, with intervals (torch)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from splitcore.attacks.measured import Interval
from splitcore.audit.membership.told import Membership

RESAMPLES = 1000
FEW = (0.01, 0.001)  # false positives


def membership_of(members: Sequence[float], others: Sequence[float], *, seed: int = 0) -> Membership:
    """Rows of both kinds are drawn again for the intervals. Raises ValueError where one kind is missing."""
    if not members or not others:
        raise ValueError("there must be rows of both kinds")
    in_M, out_O = torch.tensor(members, dtype=torch.float64), torch.tensor(others, dtype=torch.float64)
    draw = torch.Generator().manual_seed(seed)
    drawn = [(_again(in_M, draw), _again(out_O, draw)) for _ in range(RESAMPLES)]
    few = [share if share * len(others) >= 1 else None for share in FEW]
    at_1, at_01 = (
        None if share is None else _interval(found_at(in_M, out_O, share), [found_at(a, b, share) for a, b in drawn])
        for share in few
    )
    return Membership(
        auc=_interval(auc(in_M, out_O), [auc(a, b) for a, b in drawn]),
        at_1=at_1,
        at_01=at_01,
        members=len(members),
        others=len(others),
    )


def auc(in_M: torch.Tensor, out_O: torch.Tensor) -> float:
    """P(a member's score is higher), ties counting half (Mann and Whitney, 1947)."""
    sorted_O = out_O.sort().values
    below = torch.searchsorted(sorted_O, in_M, right=False) + torch.searchsorted(sorted_O, in_M, right=True)
    return float(below.double().mean()) / 2 / len(out_O)


def found_at(in_M: torch.Tensor, out_O: torch.Tensor, share: float) -> float:
    """Members above the score that at most this share of the others exceeds."""
    most = int(share * len(out_O) + 1e-9)
    threshold = out_O.sort(descending=True).values[most]
    return float((in_M > threshold).double().mean())


def _again(values: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    return values[torch.randint(len(values), (len(values),), generator=draw)]


def _interval(value: float, drawn: Sequence[float]) -> Interval:
    ordered = sorted(drawn)
    return Interval(value=value, low=ordered[int(0.025 * len(ordered))], high=ordered[int(0.975 * len(ordered))])
