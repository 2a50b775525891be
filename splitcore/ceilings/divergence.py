"""The binary divergence d(a‖k) in nats, and its inversions (torch, any shapes that broadcast, in double precision).

Every inversion returns the outer end of its last interval, so that rounding never makes a ceiling lower.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

HALVINGS = 64  # more than a double has bits
Number = torch.Tensor | float


def divergence(a: Number, k: Number) -> torch.Tensor:
    """d(a‖k) = a ln(a/k) + (1 − a) ln((1 − a)/(1 − k)); infinite where k is 0 or 1 and a isn't."""
    a, k = _double(a), _double(k)
    return _part(a, k) + _part(1 - a, 1 - k)


def highest_success(k: Number, nats: Number) -> torch.Tensor:
    """sup {a ≥ k : d(a‖k) ≤ nats}: how often a guess may be right that is right with probability k by chance."""
    k_, nats_ = _doubles(k, nats)
    return _edge(k_, torch.ones_like(k_), lambda a: divergence(a, k_) <= nats_)


def highest_mean(a: Number, nats: Number) -> torch.Tensor:
    """sup {u ≥ a : d(a‖u) ≤ nats}: the largest mean under which an average of a is no surprise."""
    a_, nats_ = _doubles(a, nats)
    return _edge(a_, torch.ones_like(a_), lambda u: divergence(a_, u) <= nats_)


def lowest_mean(a: Number, nats: Number) -> torch.Tensor:
    """inf {u ≤ a : d(a‖u) ≤ nats}."""
    a_, nats_ = _doubles(a, nats)
    return _edge(a_, torch.zeros_like(a_), lambda u: divergence(a_, u) <= nats_)


def _edge(inner: torch.Tensor, outer: torch.Tensor, holds: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """The place between `inner`, where `holds` is true, and `outer` up to which it stays true."""
    for _ in range(HALVINGS):
        middle = (inner + outer) / 2
        inside = holds(middle)
        inner, outer = torch.where(inside, middle, inner), torch.where(inside, outer, middle)
    return outer


def _part(a: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return torch.xlogy(a, a) - torch.xlogy(a, k)


def _double(value: Number) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _doubles(one: Number, other: Number) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in the shape that they have together."""
    shape = torch.broadcast_shapes(_double(one).shape, _double(other).shape)
    return _double(one).expand(shape), _double(other).expand(shape)
