"""One optimiser step of a data party: its micro-batches through the pipeline, then the common update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from splitcore.boundary.charging import Releases
from splitcore.boundary.choice import Place
from splitcore.codecs.tensors import decode
from splitcore.config import RunConfig
from splitcore.control.clock import Clock
from splitcore.data.batches import Batch
from splitcore.errors import AppError
from splitcore.flows.schedule import FAULT
from splitcore.masking.fixed_point import to_fixed
from splitcore.masking.masks import Masks, Round
from splitcore.masking.seals import Seals
from splitcore.models.carve import Segment, hidden_width
from splitcore.optimise.norms import norms_vector, scale
from splitcore.optimise.optimiser import Optimiser, learning_rate
from splitcore.optimise.update import update
from splitcore.run.plan import RunPlan
from splitcore.step.ends import Ends
from splitcore.step.faults import Fault
from splitcore.step.hand_over import SEALED, handed_over, received, take_over
from splitcore.step.inbox import Inbox, TooLateError
from splitcore.step.link import Link, TensorsIn, number, out_of_turn
from splitcore.step.normaliser import tokens_of_round
from splitcore.step.own_parameters import OwnParameters
from splitcore.step.pipeline import Pipeline
from splitcore.step.stages import boundary_of
from splitcore.step.walk import u_shape, vanilla
from splitcore.wire.protocol.messages import Kind, Message

STOP_GRACE = 0.7  # seconds for which a step that the other halves may apply is still applied here


@dataclass(frozen=True)
class StepOutcome:
    """The result of a step: mean loss over this party's tokens (None if it sat out), global norm, rate."""

    loss: float | None
    tokens: int
    grad_norm: float
    learning_rate: float
    fault: Fault | None = None  # why it was applied nowhere
    late: bool = False  # it ended without this party's part


class ClientStep:
    """Runs steps over a link; holds no data of its own between them."""

    def __init__(
        self,
        *,
        link: Link,
        clock: Clock,
        plan: RunPlan,
        config: RunConfig,
        party: str,
        segments: tuple[Segment, Segment | None],
        parameters: Mapping[str, nn.Parameter],
        optimiser: Optimiser,
        window: int,
        total: int,
        releases: Releases | None = None,
        masks: Masks | None = None,
        seals: Seals | None = None,
    ) -> None:
        """`masks`: where the server half reads sums of several parties alone; `seals`: where it reads nothing."""
        self._masks, self._seals = masks, seals
        self.link, self.clock, self.plan, self.config, self.party = link, clock, plan, config, party
        self.segments = [segment for segment in segments if segment is not None]
        self._parameters, self._optimiser = parameters, optimiser
        self.inbox = Inbox(link)
        width, scratch = hidden_width(plan.model_config), plan.settings.out / "caches"
        place = Place(config, party, segments[0], width, plan.settings.checkpoint_folder)
        stages = [choice.build(place) for choice in config.cut_strategies]
        self._own = OwnParameters(stages, config.training, total)
        self.boundary = boundary_of(
            config, party, clock, width=width, holds=False, folder=scratch, client_stages=stages, releases=releases
        )
        self.ends = Ends(
            config=config,
            party=party,
            segments=segments,
            boundary=self.boundary,
            clock=clock,
            normaliser=self.inbox.normaliser,
        )
        self.pipeline = Pipeline(
            link=link,
            inbox=self.inbox,
            boundary=self.boundary,
            ends=self.ends,
            topology=u_shape if self.ends.has_tail else vanilla,
            window=window,
        )
        self._since_average = 0

    # ---- state that outlives the process

    def state(self) -> dict[str, torch.Tensor]:
        """See `files.Part.state`."""
        return {"since_average": torch.tensor(self._since_average), **self.boundary.state(), **self._own.state()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `files.Part.restore`."""
        self._since_average = int(state["since_average"])
        self.boundary.restore(state)
        self._own.restore(state)

    # ---- the step

    def run(self, step: int, total: int, batches: list[Batch]) -> StepOutcome:
        """Every micro-batch forward and backward, then the update. Without batches, it's another party's turn."""
        if not batches:
            return self._sit_out(step, total)
        try:
            with self.inbox.within(step):
                return self._take_part(step, total, batches)
        except TooLateError as late:
            return self.leave(step, total, late.message)

    def _take_part(self, step: int, total: int, batches: list[Batch]) -> StepOutcome:
        loss = self.pipeline.run(step, batches)
        tokens = sum(batch.targets for batch in batches)
        norm, rate, fault = self._update(step, total, tokens)
        self.boundary.settle()
        return StepOutcome(loss / tokens if fault is None else None, tokens, norm, rate, fault)

    # ---- the update

    def _update(self, step: int, total: int, tokens: int) -> tuple[float, float, Fault | None]:
        """Exchange norms (or gradients), clip by the global norm, step, and average weights when due."""
        parameters, finite = self._parameters, self.boundary.finite
        with self.clock.stage("update"):
            denominator = self.inbox.forget(step)
            if denominator is None:
                raise RuntimeError("a step was completed before its normaliser arrived")
            if denominator < tokens:
                raise AppError("CL-1505", "The server half's token total is lower than this party's own count.")
            self._own.scale(denominator / tokens)
            if tokens != denominator and not self.plan.shared:
                # a party's own adapter follows the mean over its own tokens
                own = torch.tensor(denominator / tokens)
                scale([parameter.grad for parameter in parameters.values()], own)
            gradients = {name: parameter.grad for name, parameter in parameters.items()}
            if self.plan.shared:
                filled = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()}
                sound = {name: finite.checked(value, "gradient") for name, value in filled.items()}
                tensors = self._leaving(sound, Round.GRADIENTS, step, denominator)
                self.link.send(Kind.ADAPTER_GRADIENTS, step=step, body={"fault": finite.where}, tensors=tensors)
            else:
                norms = norms_vector(gradients, parameters) if parameters else torch.zeros(0)
                norms = finite.checked(norms, "gradient")
                self.link.send(Kind.NORMS, step=step, body={"fault": finite.where}, tensors={"norms": (norms, "fp32")})
            finite.clear()
            answer = self.inbox.next(grace=STOP_GRACE)
            if answer.kind is not Kind.AGGREGATE or answer.step != step:
                raise out_of_turn(answer)
            norm, rate, fault = self._apply(step, answer)
            self._since_average += tokens
            if self.plan.averages_ends_after(step, total):
                self._average(step)
            self._hand_on(step, total)
        return norm, rate, fault

    def _leaving(self, values: Mapping[str, torch.Tensor], what: Round, step: int, normaliser: int) -> TensorsIn:
        """What is sent to be summed: the values, or with masks whole numbers of which only the sum can be read."""
        if self._masks is None:
            return {name: (value, "fp32") for name, value in values.items()}
        share = self._since_average / normaliser if what is Round.WEIGHTS else 1.0
        fixed = to_fixed(values, parties=self._masks.parties, factor=share)
        return {name: (value, "i64") for name, value in self._masks.masked(fixed, what, step, normaliser).items()}

    def _told(self, message: Message) -> Message:
        """A sum that every party is told, and how the step ended; the norm of a model of its own is told one alone."""
        if self._masks is not None:
            common = FAULT if self.plan.exchange.own_body else FAULT | {"norm"}
            said = {key: value for key, value in message.body.items() if key in common}
            self._masks.note(message.tensors, said)
        return message

    def _apply(self, step: int, answer: Message) -> tuple[float, float, Fault | None]:
        """Clip and step as the server half decided, or drop the gradients of a step that isn't applied."""
        fault, parameters = self._fault(self._told(answer)), self._parameters
        norm = torch.tensor(number(answer, "norm"), dtype=torch.float32)
        if fault is not None:
            self._own.skip(step)
            return float(norm), self._optimiser.skip(step), fault
        if self.plan.shared:
            sums = {name: decode(answer.tensors[name], device=value.device) for name, value in parameters.items()}
        gradients = sums if self.plan.shared else {name: value.grad for name, value in parameters.items()}
        clip_norm = self.config.training.clip_norm
        rate = update(parameters, gradients, norm, optimiser=self._optimiser, step=step, clip_norm=clip_norm)
        self._own.apply(step)
        return float(norm), rate, None

    def _fault(self, message: Message) -> Fault | None:
        return Fault.read(message, self.plan.settings.parties)

    # ---- too late

    def leave(self, step: int, total: int, message: Message) -> StepOutcome:
        """Abandon an unfinished step and adopt the others' result.

        Shared head and tail step with the sum of gradients; a party's own ends stay unchanged.
        """
        self.inbox.clear()
        self.inbox.forget(step)
        self.boundary.finite.clear()
        self.boundary.settle()
        with self.clock.stage("update"):
            self._optimiser.skip(step)
            self._own.skip(step)
            if self.plan.shared:
                norm, rate, fault = self._apply(step, message)
            else:
                norm, fault = number(message, "norm"), self._fault(message)
                rate = learning_rate(self.config.training, step, total)
        return StepOutcome(None, 0, norm, rate, fault, late=True)

    def come_back(self, step: int) -> None:
        """Report that all steps up to `step` are complete here, after abandoning one."""
        self.link.send(Kind.STEP_DONE, step=step - 1)

    def missed(self, step: int, total: int) -> StepOutcome | int:
        """A step that ended without this party (counted from 0), or the step at which it rejoins."""
        message = self.inbox.next(grace=STOP_GRACE)
        if message.kind is Kind.STEP_DONE:
            return message.step
        if message.kind is not Kind.AGGREGATE or message.step != step:
            raise out_of_turn(message)
        return self.leave(step, total, message)

    def _average(self, step: int) -> None:
        """Replace the weights of head and tail by their average over the parties, weighted by tokens."""
        tensors = self._leaving(self._parameters, Round.WEIGHTS, step, tokens_of_round(self.plan))
        self.link.send(Kind.ADAPTER_WEIGHTS, step=step, body={"tokens": self._since_average}, tensors=tensors)
        self._since_average = 0
        answer = self.inbox.next(grace=STOP_GRACE)
        if answer.kind is not Kind.ADAPTER_WEIGHTS or answer.step != step:
            raise out_of_turn(answer)
        self._told(answer)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(decode(answer.tensors[name], device=parameter.device))

    # ---- other parties' turns

    def _sit_out(self, step: int, total: int) -> StepOutcome:
        """Report that everything before this step is complete here, and wait until the others complete it."""
        self.link.send(Kind.STEP_DONE, step=step)
        answer = self.inbox.next(grace=STOP_GRACE)
        if answer.kind is not Kind.STEP_DONE or answer.step != step:
            raise out_of_turn(answer)
        norm, fault = number(answer, "norm"), self._fault(answer)
        relay = self.plan.relay_after(step, total)
        if relay is not None and self.party in relay.receivers:
            answer = self.inbox.next(grace=STOP_GRACE)
            expected = Kind.ADAPTER_WEIGHTS if self._seals is None else Kind.SEALED_ADAPTER
            if answer.kind is not expected or answer.step != step:
                raise out_of_turn(answer)
            goes_on = self.party == relay.successor
            # an optimiser that has never stepped has no moments, and a step with a fault was applied nowhere
            has_stepped = fault is None or bool(self._optimiser.state())
            needed = goes_on and has_stepped
            tensors = received(
                self._parameters, self.config.training, answer, self._seals, sender=relay.sender, needs_moments=needed
            )
            take_over(self._parameters, self._optimiser, tensors, done=step + 1, moments=goes_on)
        return StepOutcome(None, 0, norm, learning_rate(self.config.training, step, total), fault)

    def _hand_on(self, step: int, total: int) -> None:
        """Send head and tail to those who need them after this step."""
        relay = self.plan.relay_after(step, total)
        if relay is None or relay.sender != self.party:
            return
        if self._seals is None:
            tensors = handed_over(self._parameters, self._optimiser, moments=relay.successor is not None)
            self.link.send(Kind.ADAPTER_WEIGHTS, step=step, tensors={name: (v, "fp32") for name, v in tensors.items()})
            return
        for receiver in relay.receivers:
            tensors = handed_over(self._parameters, self._optimiser, moments=receiver == relay.successor)
            sealed = (self._seals.sealed(receiver, step, tensors), "u8")
            self.link.send(Kind.SEALED_ADAPTER, step=step, body={"to": receiver}, tensors={SEALED: sealed})
