"""Adapters of head and tail at the server half: averaged for all, or passed on to the next in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from splitcore.codecs.tensors import decode_all
from splitcore.masking.fixed_point import from_fixed
from splitcore.run.plan import RunPlan
from splitcore.step.contributions import summed
from splitcore.step.link import Link, number, out_of_turn, text
from splitcore.step.normaliser import tokens_of_round
from splitcore.wire.protocol.messages import Kind, Message


class EndsHandOver:
    """Answers `ADAPTER_WEIGHTS`."""

    def __init__(
        self,
        plan: RunPlan,
        links: Mapping[str, Link],
        ends: Mapping[str, Sequence[str]],
        *,
        first: int,
        total: int,
        most: Mapping[str, int],
    ) -> None:
        """`ends`: party → names of its head's and tail's tensors; `most`: party → tokens that its batch can have."""
        self._plan, self._links, self._ends, self._total, self._most = plan, links, ends, total, most
        self._weights: dict[str, tuple[float, dict[str, torch.Tensor]]] = {}
        self._tokens = dict.fromkeys(links, 0)  # since the last average, as far as this process has seen
        self._unseen = self._steps_before(first)  # steps since the last average that it missed

    def _steps_before(self, first: int) -> int:
        steps = 0
        while steps < first and not self._plan.averages_ends_after(first - steps - 1, self._total):
            steps += 1
        return steps

    def count(self, tokens: Mapping[str, int]) -> None:
        """Note the target tokens of those who took part in a step."""
        for party, own in tokens.items():
            self._tokens[party] += own

    def take(self, party: str, message: Message, *, done: int) -> None:
        """Weights that a party sends after `done` completed steps. Raises AppError CL-1505."""
        if message.step != done - 1:
            raise out_of_turn(message)
        (self._pass_on if self._plan.exchange.relays else self._average)(party, message)

    def _pass_on(self, party: str, message: Message) -> None:
        """Sequential: pass head and tail to the next in turn, or to everyone before an evaluation."""
        relay = self._plan.relay_after(message.step, self._total)
        if relay is None or party != relay.sender:
            raise out_of_turn(message)
        tensors = {name: (value, "fp32") for name, value in decode_all(message.tensors).items()}
        weights = {name: tensors[name] for name in self._ends[party]}
        for receiver in relay.receivers:
            given = tensors if receiver == relay.successor else weights
            self._links[receiver].send(Kind.ADAPTER_WEIGHTS, step=message.step, tensors=given)

    def pass_sealed_on(self, party: str, message: Message, *, done: int) -> None:
        """Carry head and tail that one party has encrypted for another. Raises AppError CL-1505."""
        relay = self._plan.relay_after(message.step, self._total) if message.step == done - 1 else None
        receiver = text(message, "to")
        if relay is None or party != relay.sender or receiver not in relay.receivers:
            raise out_of_turn(message)
        self._links[receiver].send(Kind.SEALED_ADAPTER, step=message.step, tensors=message.tensors)

    def _average(self, party: str, message: Message) -> None:
        """FedAvg of head and tail: the mean weighted by tokens, once every party has sent its weights."""
        if party in self._weights or not self._plan.averages_ends_after(message.step, self._total):
            raise out_of_turn(message)
        self._weights[party] = (self._weight(party, message), decode_all(message.tensors))
        if len(self._weights) < len(self._links):
            return
        brought = [self._weights[name] for name in self._links]
        total = sum(tokens for tokens, _ in brought)
        if total <= 0:
            raise out_of_turn(message)
        if self._plan.masked:
            mean = from_fixed(summed([weights for _, weights in brought]), factor=tokens_of_round(self._plan) / total)
        else:
            mean = summed([{n: v * (tokens / total) for n, v in weights.items()} for tokens, weights in brought])
        self._weights, self._tokens, self._unseen = {}, dict.fromkeys(self._links, 0), 0
        for link in self._links.values():
            tensors = {name: (value, "fp32") for name, value in mean.items()}
            link.send(Kind.ADAPTER_WEIGHTS, step=message.step, tensors=tensors)

    def _weight(self, party: str, message: Message) -> float:
        """The tokens that weight a party's average: its counts per step, extrapolated for steps this process missed."""
        told, seen = number(message, "tokens"), self._tokens[party]
        if not seen <= told <= seen + self._unseen * self._most[party]:
            raise out_of_turn(message)
        return told
