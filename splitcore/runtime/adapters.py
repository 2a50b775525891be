"""The body's adapters over one frozen base: a shared one, or one for each party. The base is there once.

Shapes: B rows of all parties together, L tokens, P parties.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from splitcore.adapters.lora import adapter_parameters
from splitcore.errors import AppError
from splitcore.models.carve import Segment
from splitcore.optimise.optimiser import SEPARATOR, Optimiser

Tensors = dict[str, torch.Tensor]
_OF = "//"  # between a party's place and a name, in a checkpoint


@dataclass(frozen=True)
class BodyAdapter:
    """One adapter of the body, with the optimiser that steps it."""

    parameters: dict[str, nn.Parameter]
    optimiser: Optimiser

    def take_gradients(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Names and gradients of the last backward pass, which are gone from the parameters then."""
        for name, parameter in self.parameters.items():
            gradient, parameter.grad = parameter.grad, None
            if gradient is not None:
                yield name, gradient


class Bodies:
    """Which adapter the body wears for which party."""

    def __init__(
        self,
        body: Segment,
        parameters: Mapping[str, nn.Parameter],
        optimiser: Optimiser,
        parties: Sequence[str],
        *,
        own: bool,
    ) -> None:
        """`parameters`: the body's, for all parties; where each has its `own`, the first's, copied for the others."""
        self.own = own
        self._parties = list(parties)
        first = BodyAdapter(dict(parameters), optimiser)
        self._adapters = {party: first if not (own and place) else _copy(first) for place, party in enumerate(parties)}
        self._seats = _seats(body.model) if own else {}

    def of(self, party: str) -> BodyAdapter:
        """The adapter that `party` trains."""
        return self._adapters[party]

    @contextmanager
    def worn(self, parties: Sequence[str], sizes: Sequence[int] = (), length: int = 0) -> Iterator[None]:
        """Compute with the adapter of a party, or of several on a batch of `sizes` rows of each and `length` tokens."""
        if not self.own:
            yield
            return
        sets = [self._adapters[party].parameters for party in parties]
        try:
            for name, seat in self._seats.items():
                seat.take([adapter[name] for adapter in sets], sizes, length)
            yield
        finally:
            for seat in self._seats.values():
                seat.give_back()

    def average(self, weights: Mapping[str, float]) -> None:
        """Replace every party's adapter by the weighted mean of all, in the contract's order."""
        adapters = [(weights[party], self._adapters[party].parameters) for party in self._parties]
        with torch.no_grad():
            for name in adapters[0][1]:
                mean = torch.zeros_like(adapters[0][1][name])
                for weight, parameters in adapters:
                    mean.add_(parameters[name] * weight)
                for _, parameters in adapters:
                    parameters[name].copy_(mean)

    # ---- what outlives the process, beside the first adapter

    def state(self) -> Tensors:
        """Weights and moments of the adapters that were copied."""
        found: Tensors = {}
        for place, party in enumerate(self._parties[1:] if self.own else [], start=1):
            adapter = self._adapters[party]
            parts = {name: value.detach() for name, value in adapter.parameters.items()} | adapter.optimiser.state()
            found |= {f"{place}{_OF}{name}": value for name, value in parts.items()}
        return found

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        for place, party in enumerate(self._parties[1:] if self.own else [], start=1):
            prefix = f"{place}{_OF}"
            parts = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            adapter = self._adapters[party]
            with torch.no_grad():
                for name, parameter in adapter.parameters.items():
                    parameter.copy_(parts[name])
            adapter.optimiser.restore({name: value for name, value in parts.items() if SEPARATOR in name})


def _copy(adapter: BodyAdapter) -> BodyAdapter:
    parameters = {name: nn.Parameter(value.detach().clone()) for name, value in adapter.parameters.items()}
    return BodyAdapter(parameters, adapter.optimiser.like(parameters))


class _Seat:
    """A LoRA matrix's place in the model."""

    def __init__(self, parent: nn.Module, key: str) -> None:
        self._parent, self._key = parent, key
        self._linear = parent.get_submodule(key)
        self._own = self._linear.get_parameter("weight")

    def take(self, weights: Sequence[nn.Parameter], sizes: Sequence[int], length: int) -> None:
        """Put one party's matrix in, or the matrices of several."""
        if len(weights) == 1:
            self._linear.register_parameter("weight", weights[0])
        else:
            self._parent.add_module(self._key, RowwiseLinear(weights, sizes, length))

    def give_back(self) -> None:
        """As it was."""
        self._linear.register_parameter("weight", self._own)
        self._parent.add_module(self._key, self._linear)


def _seats(model: nn.Module) -> dict[str, _Seat]:
    """Canonical name → place of each LoRA matrix."""
    paths = [raw.rpartition(".")[0] for raw, _ in model.named_parameters() if ".lora_" in raw]
    seats: dict[str, _Seat] = {}
    for path, (name, _) in zip(paths, adapter_parameters(model), strict=True):
        parent, _, key = path.rpartition(".")
        seats[name] = _Seat(model.get_submodule(parent), key)
    return seats


class RowwiseLinear(nn.Module):
    """A LoRA matrix of each party over a batch whose rows lie party by party: y = x W_pᵀ for the rows of party p.

    With as many rows of each, one batched product over the stacked matrices (P, out, in).
    """

    def __init__(self, weights: Sequence[nn.Parameter], sizes: Sequence[int], length: int) -> None:
        super().__init__()
        self._sizes, self._length = list(sizes), length
        self._weights: list[torch.Tensor] = list(weights)

    @property
    def weight(self) -> torch.Tensor:
        """What PEFT reads the number type of."""
        return self._weights[0]

    def forward(self, input_: torch.Tensor) -> torch.Tensor:
        """(B, L, in) or (B·L, in) → the same with `out`. Raises AppError CL-1001 for rows that were mixed."""
        rows = sum(self._sizes)
        per_row = 1 if input_.dim() > 2 else self._length
        if input_.shape[0] != rows * per_row:
            raise AppError("CL-1001", "schedule.group_clients: a layer of this model mixes the rows of a batch.")
        if len(set(self._sizes)) == 1:
            folded = input_.reshape(len(self._sizes), -1, input_.shape[-1])
            product = torch.bmm(folded, torch.stack(self._weights).transpose(1, 2))
            return product.reshape(*input_.shape[:-1], product.shape[-1])
        parts = input_.split([size * per_row for size in self._sizes])
        return torch.cat(
            [nn.functional.linear(part, weight) for part, weight in zip(parts, self._weights, strict=True)]
        )
