"""One global step of the server half: who takes part, the barrier, sums in the contract's order, one update."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from splitcore.adapters.lora import AdapterLayout
from splitcore.control.clock import Clock
from splitcore.control.events import SERVER
from splitcore.optimise.norms import scale, total_norm
from splitcore.run.plan import RunPlan
from splitcore.runtime.interface import Runtime
from splitcore.step.body import GROUP, BodyWork
from splitcore.step.contributions import Contributions, summed
from splitcore.step.faults import Fault
from splitcore.step.link import Link, LostError, out_of_turn
from splitcore.step.membership import Ending, Membership, Standing
from splitcore.step.normaliser import LossNormaliser, tokens_at_most
from splitcore.step.server_hand_over import EndsHandOver
from splitcore.wire.protocol.messages import Json, Kind, Message

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ServerOutcome:
    """The result of a global step. Only vanilla has a loss here; the norm is the largest of several."""

    loss: float | None
    tokens: int
    grad_norm: float
    learning_rate: float
    seen_tokens: int = 0
    fault: Fault | None = None  # why it was applied nowhere
    absent: list[str] = field(default_factory=list)  # parties whose contribution is missing


class ServerStep:
    """Handles the messages of every party; `complete` and `finish` make the barrier of a global step."""

    def __init__(
        self,
        *,
        plan: RunPlan,
        links: Mapping[str, Link],
        layouts: Mapping[str, AdapterLayout],
        clock: Clock,
        runtime: Runtime,
        names: Collection[str],
        first: int,
        total: int,
    ) -> None:
        """`names`: of the body's adapter tensors."""
        self._plan, self._config, self._links, self._clock = plan, plan.settings.config, links, clock
        self._vanilla = runtime.has_output
        self._brought = Contributions(layouts, names, summed=plan.shared, masked=plan.masked)
        most = {party: tokens_at_most(self._config.for_party(party)) for party in links}
        self._hand_over = EndsHandOver(plan, links, self._brought.ends, first=first, total=total, most=most)
        self._runtime = runtime
        self._work = BodyWork(plan=plan, links=links, clock=clock, runtime=runtime, tokens_of=self._loss_normaliser)
        self._step, self._total = first, total
        self.membership = Membership(plan, first=first, total=total)
        self._normaliser = LossNormaliser(
            taking_part=self.membership.taking_part, tell=self._tell_tokens, own=self._runtime.own, most=most
        )
        self._dropped: set[str] = set()  # in this step
        self._work.begin(first)

    # ---- state that outlives the process

    def state(self) -> Tensors:
        """See `files.Part.state`: what is kept of activations, and each party's own body beside the first one."""
        return self._work.state()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `files.Part.restore`."""
        self._work.restore(state)

    def close(self) -> None:
        """Delete the cached activations of all parties."""
        self._work.close()

    # ---- messages

    def handle(self, party: str, message: Message) -> None:
        """Answer one message. Raises AppError CL-1505 for a message out of turn."""
        standing = self.membership.standing(party)
        if standing is Standing.GONE or (standing is Standing.LATE and message.kind is not Kind.STEP_DONE):
            return  # what a late party still sends for its step is dropped
        match message.kind:
            case Kind.STEP_BEGIN:
                self._note_tokens(party, message)
            case Kind.STEP_DONE if standing is Standing.LATE:
                self._comes_back(party, message)
            case Kind.ACTIVATIONS if message.evaluation:
                self.membership.evaluates(party)
                self._work.evaluate(party, message)
                self.membership.evaluates(party)
            case Kind.ACTIVATIONS:
                self._check_turn(party, message)
                self.membership.heard(party)
                self._work.forward(party, message)
            case Kind.GRADIENTS:
                self._check_turn(party, message)
                self._work.backward(party, message)
            case Kind.NORMS | Kind.ADAPTER_GRADIENTS:
                self._report(party, message)
            case Kind.STEP_DONE:
                self._sits_out(party, message)
            case Kind.ADAPTER_WEIGHTS:
                self._hand_over.take(party, message, done=self._step)
            case Kind.SEALED_ADAPTER:
                self._hand_over.pass_sealed_on(party, message, done=self._step)
            case _:
                raise out_of_turn(message)

    def _check_turn(self, party: str, message: Message) -> None:
        if message.step != self._step or party not in self.membership.taking_part(self._step):
            raise out_of_turn(message)

    def _note_tokens(self, party: str, message: Message) -> None:
        """Send each party the denominator of its loss: its own tokens, or the sum once all counts are in."""
        joins = self.membership.joins(party)
        if message.step not in (self._step, self._step + 1) and not (joins is not None and message.step == joins):
            raise out_of_turn(message)
        self._normaliser.note(party, message)
        self._work.go_on()

    def _tell_tokens(self, party: str, step: int, tokens: int) -> None:
        self._send(party, Kind.STEP_TOTAL, step=step, body={"tokens": tokens})

    def _loss_normaliser(self, party: str) -> int | None:
        """What a party's summed loss is divided by in the current step; None while it is not known."""
        return self._normaliser.of(party, self._step)

    def _send(self, party: str, kind: Kind, **parts: Any) -> None:
        """Send to a party that the run may survive losing."""
        try:
            self._links[party].send(kind, **parts)
        except LostError as error:
            self.lose(party, error)

    # ---- late and lost parties

    def look(self) -> list[str]:
        """Parties whose time for this step is up; if so configured, the step continues without them."""
        late = self.membership.late(blocking=self._normaliser.awaited(self._step)) if self._step < self._total else []
        if self.membership.policy == "continue":
            for party in late:
                self.membership.drop(party)
                self._forget(party)
        return late

    def patience(self) -> float:
        """Seconds until `look` must be called again."""
        return self.membership.patience(blocking=self._normaliser.awaited(self._step))

    def lose(self, party: str, error: LostError) -> None:
        """Continue without a party whose connection is lost, if so configured; otherwise raise the error."""
        others = [name for name in self.membership.taking_part(self._step) if name != party]
        if self.membership.policy != "continue" or not others:
            raise error
        self.membership.lose(party)
        self._forget(party)

    def _forget(self, party: str) -> None:
        """Discard a party's contribution to this step."""
        self._brought.clear(party)
        self._work.forget(party)
        self._dropped.add(party)
        self._normaliser.without(party)
        self._work.go_on()

    def _comes_back(self, party: str, message: Message) -> None:
        """A late party has left its step: send it what it missed, and where it rejoins."""
        joins = self._step
        while joins < self._total and self._normaliser.told(joins):
            joins += 1
        for ending in self.membership.returns(party, joins):
            self._tell(party, ending, late=True)
        self._send(party, Kind.STEP_DONE, step=joins)

    # ---- the barrier

    def _report(self, party: str, message: Message) -> None:
        """A party's norms, or its gradients where they are summed here."""
        self._check_turn(party, message)
        expected = Kind.ADAPTER_GRADIENTS if self._plan.shared else Kind.NORMS
        done = self._work.progress[party].backwards == self._config.training.micro_batches
        if message.kind is not expected or not done:
            raise out_of_turn(message)
        self._brought.report(party, message)
        self.membership.brought(party)

    def _sits_out(self, party: str, message: Message) -> None:
        """A party that isn't on turn has completed everything before this step, including its evaluation."""
        if message.step != self._step or party in self.membership.taking_part(self._step):
            raise out_of_turn(message)
        self._brought.done(party, message)

    def complete(self) -> bool:
        """Whether every participating party's contribution is complete, and all others sit this step out."""
        if self._step >= self._total:
            return False
        parties = self._links if self._plan.in_turn else self.membership.taking_part(self._step)
        return bool(parties) and all(map(self._brought.is_done, parties))

    def finish(self) -> ServerOutcome:
        """Sum in the contract's order, compute the exact global norm, send it, clip and step."""
        taking_part = self.membership.taking_part(self._step)
        counts, factor = self._normaliser.close(self._step, taking_part)
        self._hand_over.count(counts)
        with self._clock.stage("update"):
            if self._runtime.own:
                norm, rate, fault = self._update_own(taking_part)
                self._work.average(counts, is_due=self._plan.averages_bodies_after(self._step, self._total))
            else:
                norm, rate, fault = self._update_shared(taking_part, factor)
        work = [self._work.progress[party] for party in taking_part]
        tokens = sum(counts.values())
        loss = sum(one.loss for one in work) / tokens if self._vanilla and fault is None else None
        seen = sum(int(one.seen) for one in work)
        absent = [party for party in self._plan.active(self._step) if party not in taking_part]
        self.membership.finished()
        self._brought.clear()
        self._dropped = set()
        self._work.settle()
        self._step += 1
        self._work.begin(self._step)
        self.membership.begin(self._step)
        return ServerOutcome(loss, tokens, norm, rate, seen, fault, absent)

    def _update_shared(self, taking_part: Sequence[str], factor: float) -> tuple[float, float, Fault | None]:
        """One update of the shared body: the norm, the learning rate, or why it was not applied.

        `factor` turns the sum into a mean over the participants' tokens, if others had been counted in.
        """
        sums = self._work.sums
        body = summed([sums[key] for key in (GROUP, *taking_part) if key in sums])
        ends = self._brought.gradients(taking_part)
        if factor != 1.0:
            scale([*body.values(), *ends.values()], torch.tensor(factor))
        norm = total_norm(self._brought.norms(body, ends))
        fault = self._fault(taking_part, norm)
        if fault is not None:
            norm, ends = torch.tensor(0.0), {name: torch.zeros_like(value) for name, value in ends.items()}
        ending = Ending(self._step, float(norm), fault, ends)
        for party in self._links:
            if party in taking_part or self._plan.in_turn:
                self._tell(party, ending, sits_out=party not in taking_part)
            elif self.membership.ended(party, ending, told_now=party in self._dropped):
                self._tell(party, ending, late=True)
            elif self.membership.standing(party) is Standing.GONE:
                self._links[party].channel.abort("CL-1535")
        return float(norm), self._apply(taking_part[0], body, norm, fault), fault

    def _update_own(self, taking_part: Sequence[str]) -> tuple[float, float, Fault | None]:
        """Update each party's own body, clipped by the norm of its own model: the largest norm, and as above."""
        sums = self._work.sums
        norms = {party: total_norm(self._brought.norms(sums[party], {}, party)) for party in taking_part}
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
        if fault is not None:
            return self._runtime.skip(party, self._step)
        return self._runtime.step(party, body, norm, self._step)

    def _fault(self, parties: Sequence[str], norm: torch.Tensor) -> Fault | None:
        """Why this step must not be applied: the first cause in the parties' order, this half's own last."""
        found = [*self._brought.faults(parties), *self._work.faults(parties)]
        found += [] if bool(torch.isfinite(norm).all()) else [Fault(SERVER, "gradient")]
        return found[0] if found else None
