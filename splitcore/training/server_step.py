"""One global step of the server half: who takes part, the barrier, sums in the contract's order, one update."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from splitcore.training.link import Link, LostError, number, out_of_turn
from splitcore.training.norms import clip_coefficient, scale, tensor_norm, total_norm
from splitcore.training.optim import Optimiser
from splitcore.training.schedules.bodies import Bodies
from splitcore.training.schedules.denominators import Denominators
from splitcore.training.schedules.stragglers import Ending, Place, Roster
from splitcore.wire.codecs import decode, decode_all
from splitcore.wire.messages import Json, Kind, Message

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
    absent: list[str] = field(default_factory=list)  # parties whose contribution is not in it


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
        self.roster = Roster(plan, first=first, total=total)
        self._denominators = Denominators(
            taking_part=self.roster.taking_part, tell=self._tell_tokens, own=self._bodies.own
        )
        self._dropped: set[str] = set()  # in this step
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
        place = self.roster.place(party)
        if place is Place.GONE or (place is Place.LATE and message.kind is not Kind.STEP_DONE):
            return  # what a late party still sends of its step is dropped
        match message.kind:
            case Kind.STEP_BEGIN:
                self._note_tokens(party, message)
            case Kind.STEP_DONE if place is Place.LATE:
                self._comes_back(party, message)
            case Kind.ACTIVATIONS if message.evaluation:
                self.roster.evaluates(party)
                self._work.evaluate(party, message)
                self.roster.evaluates(party)
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
        if message.step != self._step or party not in self.roster.taking_part(self._step):
            raise out_of_turn(message)

    def _note_tokens(self, party: str, message: Message) -> None:
        """Tell each party the denominator of its loss: its own tokens, or the sum when every party has told its own."""
        joins = self.roster.joins(party)
        if message.step not in (self._step, self._step + 1) and not (joins is not None and message.step == joins):
            raise out_of_turn(message)
        self._denominators.note(party, message)
        self._forward_waiting()

    def _tell_tokens(self, party: str, step: int, tokens: int) -> None:
        self._send(party, Kind.STEP_TOTAL, step=step, body={"tokens": tokens})

    def _denominator(self, party: str) -> int | None:
        """What a party's summed loss is divided by in the current step; None while it is not known."""
        return self._denominators.of(party, self._step)

    def _forward(self, party: str, message: Message) -> None:
        self._check_turn(party, message)
        self.roster.heard(party)
        if self._vanilla and self._denominator(party) is None:
            self._waiting.append((party, message))
            return
        self._work.forward(party, message)

    def _forward_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for party, message in waiting:
            self._forward(party, message)

    def _send(self, party: str, kind: Kind, **parts: Any) -> None:
        """Send to a party whose loss the run may survive."""
        try:
            self._links[party].send(kind, **parts)
        except LostError as error:
            self.lose(party, error)

    # ---- late and lost parties

    def look(self) -> list[str]:
        """Parties whose time for this step is up; where the configuration says so, the step goes on without them."""
        late = self.roster.late(blocking=self._denominators.awaited(self._step)) if self._step < self._total else []
        if self.roster.policy == "continue":
            for party in late:
                self.roster.drop(party)
                self._forget(party)
        return late

    def patience(self) -> float:
        """Seconds until `look` must be called again."""
        return self.roster.patience(blocking=self._denominators.awaited(self._step))

    def lose(self, party: str, error: LostError) -> None:
        """Go on without a party whose connection is gone, where the configuration says so; else raise the error."""
        others = [name for name in self.roster.taking_part(self._step) if name != party]
        if self.roster.policy != "continue" or not others:
            raise error
        self.roster.lose(party)
        self._forget(party)

    def _forget(self, party: str) -> None:
        """Nothing of what a party has brought into this step is used."""
        self._shares[party] = _Share()
        self._work.forget(party)
        self._waiting = deque((name, message) for name, message in self._waiting if name != party)
        self._dropped.add(party)
        self._denominators.without(party)
        self._forward_waiting()

    def _comes_back(self, party: str, message: Message) -> None:
        """A late party has left its step: tell it what it has missed, and where it joins again."""
        joins = self._step
        while joins < self._total and self._denominators.told(joins):
            joins += 1
        for ending in self.roster.returns(party, joins):
            self._tell(party, ending, late=True)
        self._send(party, Kind.STEP_DONE, step=joins)

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
        self.roster.brought(party)
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
        if message.step != self._step or share.reported or party in self.roster.taking_part(self._step):
            raise out_of_turn(message)
        share.reported = True

    def complete(self) -> bool:
        """Whether every party that takes part has brought all of the current step, and every other one sits it out."""
        if self._step >= self._total:
            return False
        parties = self._links if self._plan.exchange.in_turn else self.roster.taking_part(self._step)
        return bool(parties) and all(self._shares[party].reported for party in parties)

    def finish(self) -> ServerOutcome:
        """Sum in the contract's order, take the exact global norm, tell it, clip and step."""
        taking_part = self.roster.taking_part(self._step)
        counts, factor = self._denominators.close(self._step, taking_part)
        with self._clock.stage("update"):
            if self._bodies.own:
                norm, rate, fault = self._update_own(taking_part)
                self._average_bodies(counts)
            else:
                norm, rate, fault = self._update_shared(taking_part, factor)
        work = [self._work.progress[party] for party in taking_part]
        tokens = sum(counts.values())
        loss = sum(one.loss for one in work) / tokens if self._vanilla and fault is None else None
        seen = sum(int(one.seen) for one in work)
        absent = [party for party in self._plan.active(self._step) if party not in taking_part]
        self.roster.finished()
        self._shares = {party: _Share() for party in self._links}
        self._dropped = set()
        self._work.settle()
        self._step += 1
        self._work.begin(self._step)
        self.roster.begin(self._step)
        return ServerOutcome(loss, tokens, norm, rate, seen, fault, absent)

    def _update_shared(self, taking_part: Sequence[str], factor: float) -> tuple[float, float, Fault | None]:
        """One update of the shared body: the norm, the learning rate, or why it was not applied.

        `factor` makes the sum a mean over the tokens of those who took part, where others had been counted on.
        """
        sums = self._work.sums
        body = _summed([sums[key] for key in (GROUP, *taking_part) if key in sums])
        ends = _summed([self._shares[party].ends for party in taking_part]) if self._plan.shared else {}
        if factor != 1.0:
            scale([*body.values(), *ends.values()], torch.tensor(factor))
        norm = total_norm(self._norms(body, ends))
        fault = self._fault(taking_part, norm)
        if fault is not None:
            norm, ends = torch.tensor(0.0), {name: torch.zeros_like(value) for name, value in ends.items()}
        ending = Ending(self._step, float(norm), fault, ends)
        for party in self._links:
            if party in taking_part or self._plan.exchange.in_turn:
                self._tell(party, ending, sits_out=party not in taking_part)
            elif self.roster.ended(party, ending, told_now=party in self._dropped):
                self._tell(party, ending, late=True)
            elif self.roster.place(party) is Place.GONE:
                self._links[party].channel.abort("CL-1535")
        return float(norm), self._apply(taking_part[0], body, norm, fault), fault

    def _update_own(self, taking_part: Sequence[str]) -> tuple[float, float, Fault | None]:
        """Update each party's own body, clipped by the norm of its own model: the largest norm, and as above."""
        sums = self._work.sums
        norms = {party: total_norm(self._norms(sums[party], {}, party)) for party in taking_part}
        fault = self._fault(taking_part, torch.stack(list(norms.values())))
        rate = 0.0
        for party, norm in norms.items():
            norms[party] = torch.tensor(0.0) if fault else norm
            self._tell(party, Ending(self._step, float(norms[party]), fault, {}))
            rate = self._apply(party, sums[party], norm, fault)
        return float(max(norms.values())), rate, fault

    def _tell(self, party: str, ending: Ending, *, sits_out: bool = False, late: bool = False) -> None:
        """Tell a party how a step ended."""
        tensors = {name: (value, "fp32") for name, value in ending.ends.items()}
        body: dict[str, Json] = {"norm": ending.norm, **(ending.fault.body() if ending.fault else {})}
        kind = Kind.STEP_DONE if sits_out else Kind.AGGREGATE
        self._send(party, kind, step=ending.step, body=body | ({"late": True} if late else {}), tensors=tensors)

    def _apply(self, party: str, body: Tensors, norm: torch.Tensor, fault: Fault | None) -> float:
        """Clip and step the body that `party` trains, or drop its gradients; returns the learning rate."""
        adapter = self._bodies.of(party)
        if fault is not None:
            return adapter.optimiser.skip(self._step)
        return adapter.apply(self._step, body, clip_coefficient(norm, self._config.training.clip_norm))

    def _fault(self, parties: Sequence[str], norm: torch.Tensor) -> Fault | None:
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
