"""The optimiser and its schedule: made alike on every side, so that one global step is the same step everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from splitcore.config import TrainingSection

SEPARATOR = "::"  # between a parameter's name and the kind of its moment
MOMENTS: dict[str, tuple[str, ...]] = {"adamw": ("exp_avg", "exp_avg_sq"), "sgd": ()}  # each of its parameter's shape


def moment_shapes(shapes: Mapping[str, tuple[int, ...]], training: TrainingSection) -> dict[str, tuple[int, ...]]:
    """Name (as in `Optimiser.state`) and shape of the moments of parameters of these shapes."""
    return {f"{name}{SEPARATOR}{kind}": shape for name, shape in shapes.items() for kind in MOMENTS[training.optimiser]}


def learning_rate(training: TrainingSection, step: int, total: int) -> float:
    """The rate of step `step` (from 0) of `total`: linear warm-up, then constant, linear or cosine to zero."""
    if step < training.warmup:
        return training.learning_rate * (step + 1) / training.warmup
    progress = (step - training.warmup) / max(1, total - training.warmup)
    match training.schedule:
        case "linear":
            return training.learning_rate * (1 - progress)
        case "cosine":
            return training.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        case _:
            return training.learning_rate


def _nobody(_name: str) -> None:
    """Nobody watches."""


class Optimiser:
    """AdamW or SGD over named parameters, stepping at given step numbers."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        training: TrainingSection,
        total: int,
        *,
        at: Callable[[str], None] = _nobody,
    ) -> None:
        """`at` is told "before_step" and "after_step"."""
        self._at = at
        self._parameters, self._training, self._total = dict(parameters), training, total
        values = list(self._parameters.values())
        self._inner: torch.optim.Optimizer | None = None
        if values and training.optimiser == "adamw":
            # one tensor at a time: grouped kernels round alike on a CPU, but not for every grouping elsewhere
            self._inner = torch.optim.AdamW(
                values, lr=training.learning_rate, weight_decay=training.weight_decay, foreach=False
            )
        elif values:
            self._inner = torch.optim.SGD(
                values, lr=training.learning_rate, weight_decay=training.weight_decay, foreach=False
            )

    def like(self, parameters: Mapping[str, nn.Parameter]) -> Optimiser:
        """Another one of the same kind, over other parameters."""
        return Optimiser(parameters, self._training, self._total)

    def step(self, step: int) -> float:
        """Apply the gradients at step `step` (from 0) and drop them; returns the learning rate."""
        rate = learning_rate(self._training, step, self._total)
        self._at("before_step")
        if self._inner is not None:
            for group in self._inner.param_groups:
                group["lr"] = rate
            self._inner.step()
            self._inner.zero_grad(set_to_none=True)
        self._at("after_step")
        return rate

    def skip(self, step: int) -> float:
        """Drop the gradients of step `step` (from 0) unapplied; returns the learning rate that it would have had."""
        for parameter in self._parameters.values():
            parameter.grad = None
        return learning_rate(self._training, step, self._total)

    def state(self) -> dict[str, torch.Tensor]:
        """The optimiser's tensors, by parameter and kind."""
        if self._inner is None:
            return {}
        return {
            f"{name}{SEPARATOR}{kind}": value.detach().cpu().clone()
            for name, parameter in self._parameters.items()
            for kind, value in self._inner.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor)
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        for key, value in state.items():
            name, _, kind = key.partition(SEPARATOR)
            if self._inner is not None and name in self._parameters:
                parameter = self._parameters[name]
                home = "cpu" if kind == "step" else parameter.device
                self._inner.state[parameter][kind] = value.to(home).clone()
