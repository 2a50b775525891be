"""One global step of the server half: forwards as they arrive, sums in the contract's order, one update for all."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from splitcore.adapters.lora import AdapterLayout, without_dropout
from splitcore.errors import AppError
from splitcore.models.carve import Segment, hidden_width
from splitcore.training.client_evaluation import next_tokens
from splitcore.training.clock import Clock
from splitcore.training.crossings import Crossings, Place
from splitcore.training.dropout import dropout_seed
from splitcore.training.events import SERVER
from splitcore.training.finite import PLACES, Fault
from splitcore.training.halves import Blueprint
from splitcore.training.link import Link, number, out_of_turn
from splitcore.training.loss import loss_sum
from splitcore.training.norms import clip_coefficient, scale, tensor_norm, total_norm
from splitcore.training.optim import Optimiser
from splitcore.wire.codecs import decode, decode_all
from splitcore.wire.messages import Kind, Message, Phase

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ServerOutcome:
    """What a global step was; the loss is known in the vanilla topology only."""

    loss: float | None
    tokens: int
    grad_norm: float
    learning_rate: float
    seen_tokens: int = 0
    fault: Fault | None = None  # where it was applied nowhere


@dataclass
class _Share:
    """What one party has brought into the current step."""

    forwards: int = 0
    backwards: int = 0
    graphs: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    gradients: Tensors = field(default_factory=dict)  # of the body, summed over micro-batches
    ends: Tensors = field(default_factory=dict)  # of head and tail, where they are summed here
    norms: torch.Tensor | None = None
    loss: float = 0.0
    seen: torch.Tensor | int = 0  # real tokens; read at the step's end alone, so that no micro-batch waits for it
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
        self._body, self._parameters, self._optimiser = body, parameters, optimiser
        self._order = list(next(iter(layouts.values())).shapes)
        self._ends = {p: [name for name in layout.shapes if name not in parameters] for p, layout in layouts.items()}
        self._step, self._total = first, total
        self._tokens: dict[int, dict[str, int]] = {}
        self._shares = {party: _Share() for party in links}
        self._waiting: deque[tuple[str, Message]] = deque()
        self._weights: dict[str, tuple[float, Tensors]] = {}
        width, scratch = hidden_width(plan.model_config), plan.settings.out / "caches"
        self._crossings = {
            party: Crossings(self._config, party, clock, width=width, holds=True, folder=scratch) for party in links
        }

    # ---- what outlives the process

    def state(self) -> Tensors:
        """See `checkpoint.Part.state`: the caches of the parties' activations, by the party's place in the contract."""
        return {
            f"{place}.{name}": tensor
            for place, crossings in enumerate(self._crossings.values())
            for name, tensor in crossings.state().items()
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `checkpoint.Part.restore`."""
        for place, crossings in enumerate(self._crossings.values()):
            own = f"{place}."
            crossings.restore({name.removeprefix(own): value for name, value in state.items() if name.startswith(own)})

    def close(self) -> None:
        """Delete what was kept of the parties' activations."""
        for crossings in self._crossings.values():
            crossings.close()

    # ---- messages

    def handle(self, party: str, message: Message) -> None:
        """Answer one message. Raises AppError CL-1505 for one that comes out of turn."""
        match message.kind:
            case Kind.STEP_BEGIN:
                self._note_tokens(party, message)
            case Kind.ACTIVATIONS if message.evaluation:
                self._evaluate(party, message)
            case Kind.ACTIVATIONS:
                self._forward(party, message)
            case Kind.GRADIENTS:
                self._backward(party, message)
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

    def _note_tokens(self, party: str, message: Message) -> None:
        """When every party that takes part has told its tokens of a step, tell each the sum."""
        if message.step not in (self._step, self._step + 1) or party not in self._plan.active(message.step):
            raise out_of_turn(message)
        counts = self._tokens.setdefault(message.step, {})
        if party in counts:
            raise out_of_turn(message)
        counts[party] = int(number(message, "tokens"))
        if counts[party] < 1:
            raise out_of_turn(message)
        taking_part = self._plan.active(message.step)
        if len(counts) == len(taking_part):
            for name in taking_part:
                self._links[name].send(Kind.STEP_TOTAL, step=message.step, body={"tokens": sum(counts.values())})
            waiting, self._waiting = self._waiting, deque()
            for other, held in waiting:
                self._forward(other, held)

    def _tokens_known(self) -> int | None:
        counts = self._tokens.get(self._step, {})
        return sum(counts.values()) if len(counts) == len(self._plan.active(self._step)) else None

    # ---- forward and backward

    def _received(self, party: str, message: Message) -> tuple[torch.Tensor, Place]:
        """Hidden states, and the micro-batch (with its mask) that they belong to."""
        crossings = self._crossings[party]
        place = crossings.place(message, self._body.device)
        return crossings.receive(message, place, device=self._body.device, dtype=self._body.dtype), place

    def _labels(self, message: Message, mask_BL: torch.Tensor) -> torch.Tensor:
        labels_BL = decode(message.tensors["labels"], device=self._body.device)
        if labels_BL.shape != mask_BL.shape:
            raise AppError("CL-1309")
        return labels_BL

    def _forward(self, party: str, message: Message) -> None:
        share, micro = self._shares[party], message.micro
        if message.step != self._step or micro >= self._config.training.micro_batches:
            raise out_of_turn(message)
        if party not in self._plan.active(self._step):
            raise out_of_turn(message)
        if self._body.plan.output and self._tokens_known() is None:
            self._waiting.append((party, message))
            return
        if micro != share.forwards:
            raise out_of_turn(message)
        share.forwards += 1
        with self._clock.stage("body_forward"):
            hidden_BLD, place = self._received(party, message)
            mask_BL, share.places[micro] = place.mask_BL, place
            share.seen = share.seen + mask_BL.sum()
            hidden_BLD.requires_grad_(self._config.lora.train_head)
            with dropout_seed(self._config, self._step, party, micro, "body"):
                output = self._body(mask_BL, hidden_BLD=hidden_BLD)
        if self._body.plan.output:
            self._loss_here(party, message, hidden_BLD, output, self._labels(message, mask_BL))
            return
        share.graphs[micro] = (hidden_BLD, output)
        self._links[party].send(
            Kind.ACTIVATIONS,
            step=self._step,
            micro=micro,
            phase=Phase.BODY_DOWN,
            tensors=self._crossings[party].send(Phase.BODY_DOWN, place, output),
        )

    def _loss_here(
        self, party: str, message: Message, hidden_BLD: torch.Tensor, logits_BLV: torch.Tensor, labels_BL: torch.Tensor
    ) -> None:
        """Vanilla: the loss is computed on this side, at once with its gradient."""
        share = self._shares[party]
        tokens = self._tokens_known()
        if tokens is None:
            raise out_of_turn(message)
        with self._clock.stage("body_backward"):
            summed = loss_sum(logits_BLV, labels_BL)
            torch.autograd.backward(summed / tokens)
            self._collect(share)
        loss = self._crossings[party].finite.number(summed.item(), "loss")
        share.loss += loss
        share.backwards += 1
        self._links[party].send(Kind.LOSS, step=self._step, micro=message.micro, body={"loss": loss})
        self._gradient_down(party, message.micro, hidden_BLD)

    def _backward(self, party: str, message: Message) -> None:
        share, micro = self._shares[party], message.micro
        if message.step != self._step or micro != share.backwards or micro not in share.graphs:
            raise out_of_turn(message)
        share.backwards += 1
        hidden_BLD, output_BLD = share.graphs.pop(micro)
        with self._clock.stage("body_backward"):
            gradient_BLD = self._crossings[party].receive(
                message, share.places[micro], device=self._body.device, dtype=output_BLD.dtype
            )
            torch.autograd.backward(output_BLD, gradient_BLD)
            self._collect(share)
        self._gradient_down(party, micro, hidden_BLD)

    def _collect(self, share: _Share) -> None:
        """Move the parameters' gradients to the party's own sum: parties' backwards come in any order."""
        for name, parameter in self._parameters.items():
            gradient, parameter.grad = parameter.grad, None
            if gradient is None:
                continue
            if name in share.gradients:
                share.gradients[name].add_(gradient)
            else:
                share.gradients[name] = gradient

    def _gradient_down(self, party: str, micro: int, hidden_BLD: torch.Tensor) -> None:
        if not self._config.lora.train_head:
            return
        if hidden_BLD.grad is None:
            raise RuntimeError("the body gave no gradient")
        self._links[party].send(
            Kind.GRADIENTS,
            step=self._step,
            micro=micro,
            phase=Phase.BODY_GRAD_DOWN,
            tensors=self._crossings[party].send(
                Phase.BODY_GRAD_DOWN, self._shares[party].places.pop(micro), hidden_BLD.grad
            ),
        )

    def _evaluate(self, party: str, message: Message) -> None:
        """Forward only; between steps no party is in the middle of one of its own."""
        if self._shares[party].forwards:
            raise out_of_turn(message)
        with self._clock.stage("evaluate"), torch.no_grad(), without_dropout(self._body.model):
            hidden_BLD, place = self._received(party, message)
            mask_BL = place.mask_BL
            output = self._body(mask_BL, hidden_BLD=hidden_BLD)
            if self._body.plan.output:
                labels_BL = self._labels(message, mask_BL)
                loss = self._crossings[party].finite.number(loss_sum(output, labels_BL).item(), "loss")
                self._crossings[party].finite.require()
                body = {"loss": loss, "next": [*next_tokens(output, mask_BL)]}
        at = {"step": message.step, "micro": message.micro, "evaluation": True}
        if self._body.plan.output:
            self._links[party].send(Kind.LOSS, **at, body=body)  # type: ignore[arg-type]
            return
        tensors = self._crossings[party].send(Phase.BODY_DOWN, place, output)
        self._crossings[party].finite.require()
        self._links[party].send(Kind.ACTIVATIONS, **at, phase=Phase.BODY_DOWN, tensors=tensors)  # type: ignore[arg-type]

    # ---- the barrier

    def _report(self, party: str, message: Message) -> None:
        """A party's norms, or its gradients where they are summed here."""
        share = self._shares[party]
        expected = Kind.ADAPTER_GRADIENTS if self._plan.shared else Kind.NORMS
        done = share.backwards == self._config.training.micro_batches
        if message.kind is not expected or message.step != self._step or share.reported or not done:
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
        with self._clock.stage("update"):
            taking_part = self._plan.active(self._step)
            shares = [self._shares[party] for party in taking_part]
            body = _summed([share.gradients for share in shares])
            ends = _summed([share.ends for share in shares]) if self._plan.shared else {}
            norm = total_norm(self._norms(body, ends))
            fault = self._fault(taking_part, norm)
            if fault is not None:
                norm, ends = torch.tensor(0.0), {name: torch.zeros_like(value) for name, value in ends.items()}
            for party, link in self._links.items():
                tensors = {name: (value, "fp32") for name, value in ends.items()}
                kind = Kind.AGGREGATE if party in taking_part else Kind.STEP_DONE
                told = {"norm": float(norm), **(fault.body() if fault else {})}
                link.send(kind, step=self._step, body=told, tensors=tensors)
            if fault is None:
                scale(body.values(), clip_coefficient(norm, self._config.training.clip_norm))
                for name, parameter in self._parameters.items():
                    parameter.grad = body.get(name)
                rate = self._optimiser.step(self._step)
            else:
                rate = self._optimiser.skip(self._step)
        tokens = sum(self._tokens.pop(self._step).values())
        loss = sum(share.loss for share in shares) / tokens if self._body.plan.output else None
        seen = sum(int(share.seen) for share in shares)
        self._shares = {party: _Share() for party in self._links}
        for crossings in self._crossings.values():
            crossings.settle()
        self._step += 1
        return ServerOutcome(loss if fault is None else None, tokens, float(norm), rate, seen, fault)

    def _fault(self, parties: list[str], norm: torch.Tensor) -> Fault | None:
        """Why this step is to be applied nowhere: the first cause in the order of the parties, this half's own last."""
        found = [Fault(party, where, party) for party in parties if (where := self._shares[party].fault)]
        found += [Fault(SERVER, where, party) for party in parties if (where := self._crossings[party].finite.where)]
        found += [] if torch.isfinite(norm) else [Fault(SERVER, "gradient")]
        for crossings in self._crossings.values():
            crossings.finite.clear()
        return found[0] if found else None

    def _norms(self, body: Tensors, ends: Tensors) -> list[torch.Tensor]:
        """One norm per tensor in the unsplit model's order; adapters of one's own, in the order of the parties."""
        own = {
            party: dict(zip(self._ends[party], share.norms, strict=False))
            for party, share in self._shares.items()
            if share.norms is not None
        }
        norms: list[torch.Tensor] = []
        for name in self._order:
            if name in self._parameters:
                norms += [tensor_norm(body[name]).cpu()] if name in body else []
            elif self._plan.shared:
                norms.append(tensor_norm(ends[name]))
            else:
                norms += [own[party][name] for party in own if name in own[party]]
        return norms

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
