"""What crossed, as available to an attacker at the compute party: only the wire's messages (torch).

Shapes: B rows of a micro-batch, L tokens, N real tokens of a row, D hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from splitcore.codecs.tensors import decode
from splitcore.wire.protocol.messages import Kind, Message, Phase


@dataclass(frozen=True)
class Released:
    """The hidden states (N, D) of one row at the first cut, and their positions."""

    step: int
    micro: int
    place: int  # in the micro-batch
    evaluation: bool
    hidden_ND: torch.Tensor


def released_rows(messages: Iterable[Message]) -> Iterator[Released]:
    """The rows that were sent, for formats that each message contains in full: no cache, no random rotation."""
    for message in messages:
        if message.kind is not Kind.ACTIVATIONS or message.phase is not Phase.HEAD_UP:
            continue
        hidden = decode(message.tensors["hidden"], dtype=torch.float32)
        real_BL = decode(message.tensors["mask"]).bool()
        lengths = [int(count) for count in real_BL.sum(dim=1)]
        rows = torch.split(hidden if hidden.dim() == 2 else hidden[real_BL], lengths)
        for place, hidden_ND in enumerate(rows):
            yield Released(message.step, message.micro, place, message.evaluation, hidden_ND)
