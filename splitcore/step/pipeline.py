"""Micro-batches in flight: each is a walk, at most `window` await their first answer, and none waits for another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from splitcore.boundary.boundary import Boundary
from splitcore.boundary.stages import At
from splitcore.data.batches import Batch
from splitcore.step.ends import Ends
from splitcore.step.inbox import Inbox
from splitcore.step.link import Encodable, Link, number, out_of_turn
from splitcore.step.walk import Answer, Request, Walk
from splitcore.wire.protocol.messages import Kind, Message, Phase

KIND_OF = {Phase.HEAD_UP: Kind.ACTIVATIONS, Phase.TAIL_UP: Kind.GRADIENTS}


@dataclass
class _Flight:
    """A walk in progress."""

    batch: Batch
    at: At
    walk: Walk
    answer: Answer | None = None  # the answer it waits for
    is_answered: bool = False  # once
    loss: float | None = None  # set when it has ended


class Pipeline:
    """Runs the walks of one step; holds nothing between two steps."""

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        boundary: Boundary,
        ends: Ends,
        topology: Callable[[Batch, At, Ends], Walk],
        window: int,
    ) -> None:
        self._link, self._inbox, self._boundary, self._ends = link, inbox, boundary, ends
        self._topology, self.window = topology, window

    def run(self, step: int, batches: Sequence[Batch]) -> float:
        """Every micro-batch forward and backward; the step's loss, summed over its target tokens."""
        waiting = [self._flight(step, micro, batch) for micro, batch in enumerate(batches)]
        begun: list[_Flight] = []
        came: Counter[Answer] = Counter()  # answers of each kind come in the order of the micro-batches
        while waiting or any(flight.loss is None for flight in begun):
            if waiting and sum(not flight.is_answered for flight in begun) < self.window:
                begun.append(waiting.pop(0))
                self._go_on(begun[-1], None)
                message = self._inbox.ready()
            else:
                message = self._inbox.next()
            while message is not None:
                self._answer(step, begun, came, message)
                message = self._inbox.ready() if waiting else None
        return sum(flight.loss or 0.0 for flight in begun)

    def _flight(self, step: int, micro: int, batch: Batch) -> _Flight:
        at = At(step, micro, batch.mask_BL, batch.rows)
        return _Flight(batch, at, self._topology(batch, at, self._ends))

    def _answer(self, step: int, begun: Sequence[_Flight], came: Counter[Answer], message: Message) -> None:
        """Resume the walk that waits for this message. Raises AppError CL-1505."""
        kind, micro = (message.kind, message.phase), message.micro
        if message.step != step or message.evaluation or micro >= len(begun):
            raise out_of_turn(message)
        flight = begun[micro]
        if flight.answer != kind or came[kind] != micro:
            raise out_of_turn(message)
        came[kind] += 1
        flight.is_answered = True
        self._go_on(flight, self._content(flight, message))

    def _content(self, flight: _Flight, message: Message) -> Any:
        if message.kind is Kind.LOSS:
            return number(message, "loss")
        segment = self._ends.receiver(message.phase)
        return self._boundary.back(message, flight.at, device=segment.device, dtype=segment.dtype)

    def _go_on(self, flight: _Flight, answer: Any) -> None:
        """Advance the walk until it waits for something or ends."""
        try:
            request = flight.walk.send(answer)
            while request.answer is None:
                self._hand_over(flight, request)
                request = flight.walk.send(None)
            flight.answer = request.answer
            self._hand_over(flight, request)
        except StopIteration as over:
            flight.answer, flight.loss = None, over.value

    def _hand_over(self, flight: _Flight, request: Request) -> None:
        if request.tensor_BLD is None:
            return
        at, phase = flight.at, request.phase
        if phase is Phase.HEAD_UP:
            tensors = uplink(self._boundary, flight.batch, at, request.tensor_BLD, labels=not self._ends.has_tail)
        else:
            tensors = {**self._boundary.out(phase, at, request.tensor_BLD)}
        self._link.send(KIND_OF[phase], step=at.step, micro=at.micro, phase=phase, tensors=tensors)


def uplink(boundary: Boundary, batch: Batch, at: At, hidden_BLD: torch.Tensor, *, labels: bool) -> dict[str, Encodable]:
    """The tensors of an outgoing micro-batch; labels only if the topology sends them."""
    told = boundary.told(at)  # before sending, so that what is remembered from then on isn't announced
    tensors: dict[str, Encodable] = {**boundary.out(Phase.HEAD_UP, at, hidden_BLD), **told}
    return {**tensors, "labels": (batch.labels_BL, "i64")} if labels else tensors
