"""The parties' contributions to the current step, and the sums and norms that follow from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from splitcore.adapters.lora import AdapterLayout
from splitcore.codecs.tensors import decode, decode_all
from splitcore.errors import AppError
from splitcore.masking.fixed_point import from_fixed
from splitcore.optimise.norms import tensor_norm
from splitcore.step.faults import PLACES, Fault
from splitcore.step.link import out_of_turn
from splitcore.wire.protocol.messages import Message

Tensors = dict[str, torch.Tensor]


@dataclass
class _Share:
    """One party's contribution."""

    ends: Tensors = field(default_factory=dict)  # gradients of head and tail, where they are summed here
    norms: torch.Tensor | None = None
    fault: str | None = None  # where this party produced a value that isn't finite
    reported: bool = False  # its part is complete, or it sits out


class Contributions:
    """One share for each party; empty again with each step."""

    def __init__(
        self, layouts: Mapping[str, AdapterLayout], body: Collection[str], *, summed: bool, masked: bool = False
    ) -> None:
        """`body`: names of the body's adapter tensors. `summed`: gradients of head and tail are summed here.

        `masked`: they are whole numbers, of which the sum alone means anything.
        """
        self._masked = masked
        self._order = list(next(iter(layouts.values())).shapes)
        self.ends = {party: [name for name in layout.shapes if name not in body] for party, layout in layouts.items()}
        self._summed, self._shares = summed, {party: _Share() for party in layouts}

    def report(self, party: str, message: Message) -> None:
        """A party's norms, or its gradients where they are summed here. Raises AppError CL-1309, CL-1505."""
        self.done(party, message)
        share, where = self._shares[party], message.body.get("fault")
        share.fault = where if isinstance(where, str) and where in PLACES else None
        if self._summed:
            share.ends = decode_all(message.tensors)
            return
        norms = decode(message.tensors["norms"])
        if norms.shape != (len(self.ends[party]),):
            raise AppError("CL-1309")
        share.norms = norms

    def done(self, party: str, message: Message) -> None:
        """A party has completed its part of this step. Raises AppError CL-1505 the second time."""
        if self._shares[party].reported:
            raise out_of_turn(message)
        self._shares[party].reported = True

    def is_done(self, party: str) -> bool:
        """Whether a party has completed its part of this step."""
        return self._shares[party].reported

    def clear(self, *parties: str) -> None:
        """Discard the contributions of these parties, or of all."""
        for party in parties or list(self._shares):
            self._shares[party] = _Share()

    def gradients(self, parties: Sequence[str]) -> Tensors:
        """Sums of the ends' gradients, in the order of the parties; empty where they stay with each."""
        sums = summed([self._shares[party].ends for party in parties]) if self._summed else {}
        return from_fixed(sums) if self._masked else sums

    def faults(self, parties: Sequence[str]) -> Iterator[Fault]:
        """Where the parties produced values that aren't finite."""
        for party in parties:
            if where := self._shares[party].fault:
                yield Fault(party, where, party)

    def norms(self, body: Tensors, ends: Tensors, *parties: str) -> list[torch.Tensor]:
        """One norm per tensor in the unsplit model's order; adapters of one's own, in the order of the parties."""
        own = {
            party: dict(zip(self.ends[party], norms, strict=False))
            for party in parties or self._shares
            if (norms := self._shares[party].norms) is not None
        }
        found: list[torch.Tensor] = []
        for name in self._order:
            if name in body:
                found.append(tensor_norm(body[name]).cpu())
            elif name in ends:
                found.append(tensor_norm(ends[name]))
            else:
                found += [own[party][name] for party in own if name in own[party]]
        return found


def summed(parts: Sequence[Tensors]) -> Tensors:
    """Sums by name, in the order of the parts: the first part's tensors are reused."""
    total = dict(parts[0])
    for part in parts[1:]:
        for name, value in part.items():
            if name in total:
                total[name] = total[name].add_(value)
            else:
                total[name] = value
    return total
