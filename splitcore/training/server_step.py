"""One global step of the server half: who takes part, the barrier, sums in the contract's order, one update."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from splitcore.adapters.lora import AdapterLayout
from splitcore.errors import AppError
from splitcore.models.carve import Segment
from splitcore.training.body_work import GROUP, BodyWork
from splitcore.training.clock import Clock
from splitcore.training.events import SERVER
from splitcore.training.finite import PLACES, Fault
from splitcore.training.halves import Blueprint
from splitcore.training.link import Link, number, out_of_turn
from splitcore.training.norms import clip_coefficient, tensor_norm, total_norm
from splitcore.training.optim import Optimiser
from splitcore.training.schedules.bodies import Bodies
from splitcore.wire.codecs import decode, decode_all
from splitcore.wire.messages import Kind, Message

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ServerOutcome:
    """What a global step was; the loss is known in the vanilla topology only, the norm is the largest of several."""

    loss: float | None
    tokens: int
    grad_norm: float
    learning_rate: float
    seen_tokens: int = 0
    fault: Fault | None = None  # where it was applied nowhere


@dataclass
class _Share:
    """What one party has brought to the end of the current step."""

    ends: Tensors = field(default_factory=dict)  # gradients of head and tail, where they are summed here
    norms: torch.Tensor | None = None
    fault: str | None = None  # where this party made a value that is not finite
    reported: bool = False  # its part is complete, or it sits out


class ServerStep:
    """Handles the messages of every party; `complete` and `finish` make the barrier of a global step."""

    def __init__(
        self,
        *,
        plan: Blueprint,
        links: Mapping[str, Link],
        layouts: Mapping[str, AdapterLayout],
        clock: Clock,
        body: Segment,
        parameters: Mapping[str, nn.Parameter],
        optimiser: Optimiser,
        first: int,
        total: int,
    ) -> None:
        self._plan, self._config, self._links, self._clock = plan, plan.settings.config, links, clock
        self._vanilla = body.plan.output
        self._order = list(next(iter(layouts.values())).shapes)
        self._ends = {p: [name for name in layout.shapes if name not in parameters] for p, layout in layouts.items()}
        self._bodies = Bodies(body, parameters, optimiser, list(links), own=plan.exchange.own_body)
        self._work = BodyWork(
            plan=plan, links=links, clock=clock, body=body, bodies=self._bodies, tokens_of=self._denominator
        )
        self._step, self._total = first, total
        self._tokens: dict[int, dict[str, int]] = {}
        self._since_average = dict.fromkeys(links, 0)  # target tokens, where bodies are averaged
        self._shares = {party: _Share() for party in links}
        self._waiting: deque[tuple[str, Message]] = deque()
        self._weights: dict[str, tuple[float, Tensors]] = {}
        self._work.begin(first)

    # ---- what outlives the process

    def state(self) -> Tensors:
        """See `checkpoint.Part.state`: what is kept of activations, and each party's own body beside the first one."""
        found = self._work.state()
        if self._bodies.own:
            found |= {"since_average": torch.tensor(list(self._since_average.values())), **self._bodies.state()}
        return found

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `checkpoint.Part.restore`."""
        self._work.restore(state)
        if self._bodies.own:
            self._since_average = dict(zip(self._links, state["since_average"].tolist(), strict=True))
            self._bodies.restore(state)

    def close(self) -> None:
        """Delete what was kept of the parties' activations."""
        self._work.close()

    # ---- messages

    def handle(self, party: str, message: Message) -> None:
        """Answer one message. Raises AppError CL-1505 for one that comes out of turn."""
        match message.kind:
            case Kind.STEP_BEGIN:
                self._note_tokens(party, message)
            case Kind.ACTIVATIONS if message.evaluation:
                self._work.evaluate(party, message)
            case Kind.ACTIVATIONS:
                self._forward(party, message)
            case Kind.GRADIENTS:
                self._check_turn(party, message)
                self._work.backward(party, message)
            case Kind.NORMS | Kind.ADAPTER_GRADIENTS:
                self._report(party, message)
            case Kind.STEP_DONE:
                self._sits_out(party, message)
            case Kind.ADAPTER_WEIGHTS if self._plan.exchange.relays:
                self._pass_on(party, message)
            case Kind.ADAPTER_WEIGHTS:
                self._average(party, message)
            case _:
                raise out_of_turn(message)

    def _check_turn(self, party: str, message: Message) -> None:
        if message.step != self._step or party not in self._plan.active(self._step):
            raise out_of_turn(message)

    def _note_tokens(self, party: str, message: Message) -> None:
        """Tell each party the denominator of its loss: its own tokens, or the sum when every party has told its own."""
        taking_part = self._plan.active(message.step)
        if message.step not in (self._step, self._step + 1) or party not in taking_part:
            raise out_of_turn(message)
        counts = self._tokens.setdefault(message.step, {})
        tokens = int(number(message, "tokens"))
        if party in counts or tokens < 1:
            raise out_of_turn(message)
        counts[party] = tokens
        if self._bodies.own:
            self._links[party].send(Kind.STEP_TOTAL, step=message.step, body={"tokens": tokens})
        elif len(counts) == len(taking_part):
            for name in taking_part:
                self._links[name].send(Kind.STEP_TOTAL, step=message.step, body={"tokens": sum(counts.values())})
            waiting, self._waiting = self._waiting, deque()
            for other, held in waiting:
                self._forward(other, held)

    def _denominator(self, party: str) -> int | None:
        """What a party's summed loss is divided by in the current step; None while it is not known."""
        counts = self._tokens.get(self._step, {})
        if self._bodies.own:
            return counts.get(party)
        return sum(counts.values()) if len(counts) == len(self._plan.active(self._step)) else None

    def _forward(self, party: str, message: Message) -> None:
        self._check_turn(party, message)
        if self._vanilla and self._denominator(party) is None:
            self._waiting.append((party, message))
            return
        self._work.forward(party, message)

    # ---- the barrier

    def _report(self, party: str, message: Message) -> None:
        """A party's norms, or its gradients where they are summed here."""
        self._check_turn(party, message)
        share = self._shares[party]
        expected = Kind.ADAPTER_GRADIENTS if self._plan.shared else Kind.NORMS
        done = self._work.progress[party].backwards == self._config.training.micro_batches
        if message.kind is not expected or share.reported or not done:
            raise out_of_turn(message)
        share.reported = True
        where = message.body.get("fault")
        share.fault = where if isinstance(where, str) and where in PLACES else None
        if self._plan.shared:
            share.ends = decode_all(message.tensors)
            return
        norms = decode(message.tensors["norms"])
        if norms.shape != (len(self._ends[party]),):
            raise AppError("CL-1309")
        share.norms = norms

    def _sits_out(self, party: str, message: Message) -> None:
        """A party whose turn it is not has done all before this step, its evaluation too."""
        share = self._shares[party]
        if message.step != self._step or share.reported or party in self._plan.active(self._step):
            raise out_of_turn(message)
        share.reported = True

    def complete(self) -> bool:
        """Whether every party has brought all of the current step."""
        return self._step < self._total and all(share.reported for share in self._shares.values())

    def finish(self) -> ServerOutcome:
        """Sum in the contract's order, take the exact global norm, tell it, clip and step."""
        taking_part = self._plan.active(self._step)
        with self._clock.stage("update"):
            norm, rate, fault = (self._update_own if self._bodies.own else self._update_shared)(taking_part)
        counts = self._tokens.pop(self._step)
        if self._bodies.own:
            self._average_bodies(counts)
        work = [self._work.progress[party] for party in taking_part]
        tokens = sum(counts.values())
        loss = sum(one.loss for one in work) / tokens if self._vanilla and fault is None else None
        seen = sum(int(one.seen) for one in work)
        self._shares = {party: _Share() for party in self._links}
        self._work.settle()
        self._step += 1
        self._work.begin(self._step)
        return ServerOutcome(loss, tokens, norm, rate, seen, fault)

    def _update_shared(self, taking_part: list[str]) -> tuple[float, float, Fault | None]:
        """One update of the shared body: the norm, the learning rate, or why it was not applied."""
        sums = self._work.sums
        body = _summed([sums[key] for key in (GROUP, *taking_part) if key in sums])
        ends = _summed([self._shares[party].ends for party in taking_part]) if self._plan.shared else {}
        norm = total_norm(self._norms(body, ends))
        fault = self._fault(taking_part, norm)
        if fault is not None:
            norm, ends = torch.tensor(0.0), {name: torch.zeros_like(value) for name, value in ends.items()}
        for party in self._links:
            self._tell(party, norm, fault, ends, sits_out=party not in taking_part)
        return float(norm), self._apply(taking_part[0], body, norm, fault), fault

    def _update_own(self, taking_part: list[str]) -> tuple[float, float, Fault | None]:
        """Update each party's own body, clipped by the norm of its own model: the largest norm, and as above."""
        sums = self._work.sums
        norms = {party: total_norm(self._norms(sums[party], {}, party)) for party in taking_part}
        fault = self._fault(taking_part, torch.stack(list(norms.values())))
        rate = 0.0
        for party, norm in norms.items():
            norms[party] = torch.tensor(0.0) if fault else norm
            self._tell(party, norms[party], fault, {})
            rate = self._apply(party, sums[party], norm, fault)
        return float(max(norms.values())), rate, fault

    def _tell(
        self, party: str, norm: torch.Tensor, fault: Fault | None, ends: Tensors, *, sits_out: bool = False
    ) -> None:
        """Tell a party how the step ends."""
        tensors = {name: (value, "fp32") for name, value in ends.items()}
        body = {"norm": float(norm), **(fault.body() if fault else {})}
        kind = Kind.STEP_DONE if sits_out else Kind.AGGREGATE
        self._links[party].send(kind, step=self._step, body=body, tensors=tensors)

    def _apply(self, party: str, body: Tensors, norm: torch.Tensor, fault: Fault | None) -> float:
        """Clip and step the body that `party` trains, or drop its gradients; returns the learning rate."""
        adapter = self._bodies.of(party)
        if fault is not None:
            return adapter.optimiser.skip(self._step)
        return adapter.apply(self._step, body, clip_coefficient(norm, self._config.training.clip_norm))

    def _fault(self, parties: list[str], norm: torch.Tensor) -> Fault | None:
        """Why this step is to be applied nowhere: the first cause in the order of the parties, this half's own last."""
        found = [Fault(party, where, party) for party in parties if (where := self._shares[party].fault)]
        own = {party: self._work.crossings[party].finite for party in parties}
        found += [Fault(SERVER, where, party) for party, finite in own.items() if (where := finite.where)]
        found += [] if bool(torch.isfinite(norm).all()) else [Fault(SERVER, "gradient")]
        for finite in own.values():
            finite.clear()
        return found[0] if found else None

    def _norms(self, body: Tensors, ends: Tensors, *parties: str) -> list[torch.Tensor]:
        """One norm per tensor in the unsplit model's order; adapters of one's own, in the order of the parties."""
        own = {
            party: dict(zip(self._ends[party], norms, strict=False))
            for party in parties or self._links
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

    # ---- averages and turns

    def _average_bodies(self, counts: Mapping[str, int]) -> None:
        """At the end of a round: the mean of the parties' bodies, weighted by their tokens since the last one."""
        for party, tokens in counts.items():
            self._since_average[party] += tokens
        if self._plan.averages_after(self._step, self._total):
            total = sum(self._since_average.values())
            self._bodies.average({party: tokens / total for party, tokens in self._since_average.items()})
            self._since_average = dict.fromkeys(self._links, 0)

    def _pass_on(self, party: str, message: Message) -> None:
        """Sequential: head and tail go on to the next in turn, or to everyone where an evaluation is due."""
        relay = self._plan.relay_after(message.step, self._total)
        if message.step != self._step - 1 or relay is None or party != relay.giver:
            raise out_of_turn(message)
        tensors = {name: (value, "fp32") for name, value in decode_all(message.tensors).items()}
        weights = {name: tensors[name] for name in self._ends[party]}
        for taker in relay.takers:
            given = tensors if taker == relay.heir else weights
            self._links[taker].send(Kind.ADAPTER_WEIGHTS, step=message.step, tensors=given)

    def _average(self, party: str, message: Message) -> None:
        """FedAvg of head and tail: the mean weighted by tokens, once every party has sent its weights."""
        if party in self._weights or message.step != self._step - 1:
            raise out_of_turn(message)
        if not self._plan.averages_after(message.step, self._total):
            raise out_of_turn(message)
        self._weights[party] = (number(message, "tokens"), decode_all(message.tensors))
        if len(self._weights) < len(self._links):
            return
        brought = [self._weights[name] for name in self._links]
        total = sum(tokens for tokens, _ in brought)
        mean = _summed([{n: value * (tokens / total) for n, value in weights.items()} for tokens, weights in brought])
        self._weights = {}
        for link in self._links.values():
            tensors = {name: (value, "fp32") for name, value in mean.items()}
            link.send(Kind.ADAPTER_WEIGHTS, step=message.step, tensors=tensors)


def _summed(parts: list[Tensors]) -> Tensors:
    """Sums by name, in the order of the parts: the first part's tensors are reused."""
    total = dict(parts[0])
    for part in parts[1:]:
        for name, value in part.items():
            if name in total:
                total[name] = total[name].add_(value)
            else:
                total[name] = value
    return total
