"""One optimiser step of a client half: micro-batches in a pipeline, then the common update."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from splitcore.config import RunConfig
from splitcore.data.batches import Batch
from splitcore.models.carve import Segment, hidden_width
from splitcore.training.clock import Clock
from splitcore.training.crossings import Crossings, Place
from splitcore.training.dropout import dropout_seed
from splitcore.training.finite import Fault
from splitcore.training.halves import Blueprint
from splitcore.training.link import Encodable, Link, TensorsIn, number, out_of_turn
from splitcore.training.loss import loss_sum
from splitcore.training.norms import clip_coefficient, norms_vector, scale
from splitcore.training.optim import Optimiser, learning_rate
from splitcore.training.schedules.relay import baggage, take_over
from splitcore.wire.codecs import decode
from splitcore.wire.messages import Kind, Message, Phase

STOP_GRACE = 0.7  # seconds in which a step that the other halves may apply is still applied here


@dataclass(frozen=True)
class StepOutcome:
    """What a step was: mean loss over this party's tokens (None where it sat out), global norm, rate."""

    loss: float | None
    tokens: int
    grad_norm: float
    learning_rate: float
    fault: Fault | None = None  # where it was applied nowhere
    late: bool = False  # it ended without this party's part


class TooLateError(Exception):
    """The step that this party is in the middle of has ended without it."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self.message = message


@dataclass
class _Flight:
    """The micro-batches of one step, and how far each direction has come."""

    step: int
    batches: list[Batch]
    hidden_BLD: dict[int, torch.Tensor] = field(default_factory=dict)
    sent: int = 0
    answered: int = 0
    finished: int = 0
    loss: float = 0.0

    def place(self, micro: int) -> Place:
        """What the crossings need to know of a micro-batch."""
        return Place(self.step, micro, self.batches[micro].mask_BL, self.batches[micro].rows)


class ClientStep:
    """Runs steps over a link; holds no data of its own between them."""

    def __init__(
        self,
        *,
        link: Link,
        clock: Clock,
        plan: Blueprint,
        config: RunConfig,
        party: str,
        segments: tuple[Segment, Segment | None],
        parameters: Mapping[str, nn.Parameter],
        optimiser: Optimiser,
        window: int,
    ) -> None:
        self.link, self.clock, self.plan, self.config, self.party = link, clock, plan, config, party
        self.head, self.tail = segments
        self.window = window
        self._parameters, self._optimiser = parameters, optimiser
        width, scratch = hidden_width(plan.model_config), plan.settings.out / "caches"
        self.crossings = Crossings(config, party, clock, width=width, holds=False, folder=scratch)
        self._totals: dict[int, int] = {}
        self._stash: deque[Message] = deque()
        self._since_average = 0
        self._flying: int | None = None  # the step that this party is in the middle of

    # ---- what outlives the process

    def state(self) -> dict[str, torch.Tensor]:
        """See `checkpoint.Part.state`."""
        return {"since_average": torch.tensor(self._since_average), **self.crossings.state()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `checkpoint.Part.restore`."""
        self._since_average = int(state["since_average"])
        self.crossings.restore(state)

    # ---- messages

    def next(self, *, grace: float = 0.0) -> Message:
        """The next message that is not the token total of a step, which is only noted."""
        while True:
            message = self._stash.popleft() if self._stash else self.link.receive(grace=grace)
            if not self._noted(message):
                return message

    def _ready(self) -> Message | None:
        """A message that is there already."""
        return self._stash.popleft() if self._stash else self.link.take_ready()

    def _noted(self, message: Message) -> bool:
        if message.kind is Kind.AGGREGATE and message.step == self._flying and message.body.get("late") is True:
            raise TooLateError(message)
        if message.kind is not Kind.STEP_TOTAL:
            return False
        self._totals[message.step] = int(number(message, "tokens"))
        return True

    def _tokens_of(self, step: int) -> int:
        """The common denominator of a step."""
        while step not in self._totals:
            message = self.link.receive()
            if not self._noted(message):
                self._stash.append(message)
        return self._totals[step]

    # ---- forward and backward

    def uplink(self, batch: Batch, place: Place, hidden_BLD: torch.Tensor) -> TensorsIn:
        """What goes up with a micro-batch; labels only where the topology sends them."""
        told = self.crossings.told(place)
        tensors: dict[str, Encodable] = {**self.crossings.send(Phase.HEAD_UP, place, hidden_BLD), **told}
        if self.tail is None:
            tensors["labels"] = (batch.labels_BL, "i64")
        return tensors

    def run(self, step: int, total: int, batches: list[Batch]) -> StepOutcome:
        """Every micro-batch forward and backward, then the update; in flight at most `window`.

        Without batches, it is another party's turn.
        """
        if not batches:
            return self._sit_out(step, total)
        try:
            with self.within(step):
                return self._take_part(step, total, batches)
        except TooLateError as late:
            return self.leave(step, total, late.message)

    def _take_part(self, step: int, total: int, batches: list[Batch]) -> StepOutcome:
        flight = _Flight(step, batches)
        while flight.finished < len(batches):
            if flight.sent < len(batches) and flight.sent - flight.answered < self.window:
                self._head_forward(flight)
                while (message := self._ready()) is not None:
                    self._handle(flight, message)
            else:
                self._handle(flight, self._stash.popleft() if self._stash else self.link.receive())
        tokens = sum(batch.targets for batch in batches)
        norm, rate, fault = self._update(step, total, tokens)
        self.crossings.settle()
        return StepOutcome(flight.loss / tokens if fault is None else None, tokens, norm, rate, fault)

    def _handle(self, flight: _Flight, message: Message) -> None:
        """Answer one message of this step; those of one kind come in the order of the micro-batches."""
        if self._noted(message):
            return
        micro, phase = message.micro, message.phase
        if message.step != flight.step or message.evaluation:
            raise out_of_turn(message)
        if phase is Phase.BODY_DOWN and micro == flight.answered and self.tail is not None:
            flight.answered += 1
            self._tail_pass(flight, self.tail, message)
            flight.finished += not self.config.lora.train_head
        elif message.kind is Kind.LOSS and micro == flight.answered and self.tail is None:
            flight.answered += 1
            flight.loss += number(message, "loss")
            flight.finished += not self.config.lora.train_head
        elif phase is Phase.BODY_GRAD_DOWN and micro == flight.finished and micro < flight.answered:
            flight.finished += 1
            self._head_backward(flight, message)
        else:
            raise out_of_turn(message)

    def _head_forward(self, flight: _Flight) -> None:
        micro, batch = flight.sent, flight.batches[flight.sent]
        place = flight.place(micro)
        with self.clock.stage("head_forward"), dropout_seed(self.config, flight.step, self.party, micro, "head"):
            hidden_BLD = self.head_states(batch, self.crossings.needed(place))
        if self.config.lora.train_head:
            flight.hidden_BLD[micro] = hidden_BLD
        flight.sent += 1
        self.link.send(
            Kind.ACTIVATIONS,
            step=flight.step,
            micro=micro,
            phase=Phase.HEAD_UP,
            tensors=self.uplink(batch, place, hidden_BLD),
        )

    def head_states(self, batch: Batch, needed: list[bool] | None = None) -> torch.Tensor:
        """The head's output (B, L, D). Of a head that is not trained row by row, zeros where it is not `needed`.

        A row alone has the same bits whatever stands beside it in a batch, so that it may be kept for the next epoch.
        """
        if self.config.lora.train_head:
            return self.head(batch.mask_BL, ids_BL=batch.ids_BL)
        hidden_BLD = torch.zeros(
            *batch.mask_BL.shape, hidden_width(self.plan.model_config), device=self.head.device, dtype=self.head.dtype
        )
        with torch.no_grad():
            for row, mask_L in enumerate(batch.mask_BL):
                real_L = mask_L.bool()
                if needed is None or needed[row]:
                    ids_1L = batch.ids_BL[row : row + 1, real_L]
                    hidden_BLD[row, real_L] = self.head(torch.ones_like(ids_1L), ids_BL=ids_1L)[0]
        return hidden_BLD

    def _tail_pass(self, flight: _Flight, tail: Segment, message: Message) -> None:
        """Tail forward, loss, tail backward; the gradient of what came in goes back up."""
        batch = flight.batches[message.micro]
        tokens = self._tokens_of(flight.step)
        with self.clock.stage("tail"):
            received_BLD = self.received(message, flight.place(message.micro), tail).requires_grad_()
            with dropout_seed(self.config, flight.step, self.party, message.micro, "tail"):
                logits_BLV = tail(batch.mask_BL, hidden_BLD=received_BLD)
            summed = loss_sum(logits_BLV, batch.labels_BL)
            torch.autograd.backward(summed / tokens)
            flight.loss += self.crossings.finite.number(summed.item(), "loss")
        if received_BLD.grad is None:
            raise RuntimeError("the tail gave no gradient")
        self.link.send(
            Kind.GRADIENTS,
            step=flight.step,
            micro=message.micro,
            phase=Phase.TAIL_UP,
            tensors=self.crossings.send(Phase.TAIL_UP, flight.place(message.micro), received_BLD.grad),
        )

    def received(self, message: Message, place: Place, segment: Segment) -> torch.Tensor:
        """The hidden states of a message, which must have the batch's own shape."""
        return self.crossings.receive(message, place, device=segment.device, dtype=segment.dtype)

    def _head_backward(self, flight: _Flight, message: Message) -> None:
        hidden_BLD = flight.hidden_BLD.pop(message.micro)
        with self.clock.stage("head_backward"):
            gradient_BLD = self.received(message, flight.place(message.micro), self.head)
            if hidden_BLD.requires_grad:
                torch.autograd.backward(hidden_BLD, gradient_BLD)

    # ---- the update

    def _update(self, step: int, total: int, tokens: int) -> tuple[float, float, Fault | None]:
        """Exchange norms (or gradients), clip by the global norm, step, and average weights when it is time."""
        parameters, finite = self._parameters, self.crossings.finite
        with self.clock.stage("update"):
            denominator = self._totals.pop(step)
            if tokens != denominator and not self.plan.shared:
                # an adapter of one's own follows the mean over one's own tokens
                own = torch.tensor(denominator / tokens)
                scale([parameter.grad for parameter in parameters.values()], own)
            gradients = {name: parameter.grad for name, parameter in parameters.items()}
            if self.plan.shared:
                filled = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()}
                sound = {name: (finite.checked(value, "gradient"), "fp32") for name, value in filled.items()}
                self.link.send(Kind.ADAPTER_GRADIENTS, step=step, body={"fault": finite.where}, tensors=sound)
            else:
                norms = norms_vector(gradients, parameters) if parameters else torch.zeros(0)
                norms = finite.checked(norms, "gradient")
                self.link.send(Kind.NORMS, step=step, body={"fault": finite.where}, tensors={"norms": (norms, "fp32")})
            finite.clear()
            answer = self.next(grace=STOP_GRACE)
            if answer.kind is not Kind.AGGREGATE or answer.step != step:
                raise out_of_turn(answer)
            norm, rate, fault = self._apply(step, answer)
            self._since_average += tokens
            if self.plan.averages_after(step, total):
                self._average(step)
            self._hand_on(step, total)
        return norm, rate, fault

    def _apply(self, step: int, answer: Message) -> tuple[float, float, Fault | None]:
        """Clip and step as the server half says, or drop the gradients of a step that is applied nowhere."""
        fault, parameters = Fault.read(answer), self._parameters
        norm = torch.tensor(number(answer, "norm"), dtype=torch.float32)
        if fault is not None:
            return float(norm), self._optimiser.skip(step), fault
        if self.plan.shared:
            for name, parameter in parameters.items():
                parameter.grad = decode(answer.tensors[name], device=parameter.device)
        coefficient = clip_coefficient(norm, self.config.training.clip_norm)
        scale([parameter.grad for parameter in parameters.values()], coefficient)
        return float(norm), self._optimiser.step(step), None

    # ---- too late

    @contextmanager
    def within(self, step: int) -> Iterator[None]:
        """While this party is at `step`, raise TooLateError as soon as the step has ended without it."""
        self._flying = step
        try:
            yield
        finally:
            self._flying = None

    def leave(self, step: int, total: int, message: Message) -> StepOutcome:
        """Drop what was begun of a step, and take over what the others made of it.

        Head and tail step with their sum where it is shared; ends of one's own stay as they are.
        """
        self._stash.clear()
        self._totals.pop(step, None)
        self.crossings.finite.clear()
        self.crossings.settle()
        with self.clock.stage("update"):
            self._optimiser.skip(step)
            if self.plan.shared:
                norm, rate, fault = self._apply(step, message)
            else:
                norm, fault = number(message, "norm"), Fault.read(message)
                rate = learning_rate(self.config.training, step, total)
        return StepOutcome(None, 0, norm, rate, fault, late=True)

    def come_back(self, step: int) -> None:
        """Tell that everything up to `step` completed steps is done here, after a step that was left."""
        self.link.send(Kind.STEP_DONE, step=step - 1)

    def missed(self, step: int, total: int) -> StepOutcome | int:
        """A step that ended without this party (from 0), or the step from which it takes part again."""
        message = self.next(grace=STOP_GRACE)
        if message.kind is Kind.STEP_DONE:
            return message.step
        if message.kind is not Kind.AGGREGATE or message.step != step:
            raise out_of_turn(message)
        return self.leave(step, total, message)

    def _average(self, step: int) -> None:
        """Replace the weights of head and tail by their average over the parties, weighted by tokens."""
        tensors = {name: (parameter, "fp32") for name, parameter in self._parameters.items()}
        self.link.send(Kind.ADAPTER_WEIGHTS, step=step, body={"tokens": self._since_average}, tensors=tensors)
        self._since_average = 0
        answer = self.next(grace=STOP_GRACE)
        if answer.kind is not Kind.ADAPTER_WEIGHTS or answer.step != step:
            raise out_of_turn(answer)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(decode(answer.tensors[name], device=parameter.device))

    # ---- other parties' turns

    def _sit_out(self, step: int, total: int) -> StepOutcome:
        """Tell that all before this step is done here, and wait until the others have completed it."""
        self.link.send(Kind.STEP_DONE, step=step)
        answer = self.next(grace=STOP_GRACE)
        if answer.kind is not Kind.STEP_DONE or answer.step != step:
            raise out_of_turn(answer)
        norm, fault = number(answer, "norm"), Fault.read(answer)
        relay = self.plan.relay_after(step, total)
        if relay is not None and self.party in relay.takers:
            answer = self.next(grace=STOP_GRACE)
            if answer.kind is not Kind.ADAPTER_WEIGHTS or answer.step != step:
                raise out_of_turn(answer)
            take_over(self._parameters, self._optimiser, answer, done=step + 1, moments=self.party == relay.heir)
        return StepOutcome(None, 0, norm, learning_rate(self.config.training, step, total), fault)

    def _hand_on(self, step: int, total: int) -> None:
        """Give head and tail to whoever needs them after this step."""
        relay = self.plan.relay_after(step, total)
        if relay is not None and relay.giver == self.party:
            tensors = baggage(self._parameters, self._optimiser, moments=relay.heir is not None)
            self.link.send(Kind.ADAPTER_WEIGHTS, step=step, tensors=tensors)
