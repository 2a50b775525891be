"""The federated baseline: FedAvg (McMahan et al., 2017) of a LoRA adapter on the whole model.

In each round every client starts from the common adapter, trains on its own rows for some steps with an optimiser of
its own, and sends its adapter; the clients' adapters are averaged, weighted by the rows that they trained on. A and B
are averaged apart, which is what people do and only approximates the average of their products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from splitcore.config.length import total_steps
from splitcore.data.sampling import Sampler
from splitcore.optimise.optimiser import Optimiser
from splitcore.training.unsplit import UnsplitRun

LOCAL_STEPS = 10
Weights = dict[str, torch.Tensor]


def average(adapters: Sequence[Mapping[str, torch.Tensor]], weights: Sequence[float]) -> Weights:
    """The weighted mean of adapters of the same names, summed in fp64 in the order given."""
    total = sum(weights)
    return {
        name: sum(
            (adapter[name].double() * weight for adapter, weight in zip(adapters, weights, strict=True)),
            start=torch.zeros_like(first, dtype=torch.float64),
        )
        .div(total)
        .to(first.dtype)
        for name, first in adapters[0].items()
    }


def round_bytes(adapter: Mapping[str, torch.Tensor]) -> int:
    """What one client receives and sends in one round."""
    return 2 * sum(tensor.numel() * tensor.element_size() for tensor in adapter.values())


def rounds(steps: int) -> list[range]:
    """The global step numbers of each round."""
    return [range(start, min(start + LOCAL_STEPS, steps)) for start in range(0, steps, LOCAL_STEPS)]


class FederatedRun(UnsplitRun):
    """The clients one after the other on one resident model: as each would train by itself on its own machine."""

    def run(self) -> None:
        """Train and write the averaged adapter."""
        training = self._config.training
        batch = training.batch_size
        total = total_steps(self._config, [len(rows) for rows in self._encoded.values()], [batch] * len(self._parties))
        samplers = {
            party: Sampler(len(rows), batch, seed=training.seed, party=party, shuffle=training.shuffle)
            for party, rows in self._encoded.items()
        }
        common = self._taken()
        for steps in rounds(total):
            trained = [self._local(party, common, steps, samplers, total) for party in self._parties]
            common = average(trained, [float(batch * len(steps))] * len(trained))
        self._put(common)
        self._write("adapter")

    def _local(self, party: str, common: Weights, steps: range, samplers: Mapping[str, Sampler], total: int) -> Weights:
        """One client's part of a round."""
        self._put(common)
        self._training_now = party
        optimiser = Optimiser(self._parameters, self._config.training, total)
        for step in steps:
            self._step(step, samplers, optimiser)
        return self._taken()

    def _taking_part(self, step: int) -> list[Any]:
        return [self._training_now]

    def _taken(self) -> Weights:
        return {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def _put(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(weights[name])
