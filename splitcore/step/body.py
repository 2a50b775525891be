"""What the server half computes in a step: the body's forward and backward for each micro-batch, alone or in groups.

Shapes: B rows of a micro-batch, L tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from splitcore.codecs.tensors import decode
from splitcore.control.clock import Clock
from splitcore.control.events import SERVER
from splitcore.data.tokenise import IGNORED
from splitcore.errors import AppError
from splitcore.models.carve import hidden_width
from splitcore.optimise.loss import class_loss_sum, classes_of, loss_sum
from splitcore.run.plan import RunPlan
from splitcore.runtime.interface import MicroBatch, Pass, Runtime
from splitcore.step.faults import Fault
from splitcore.step.greedy import next_tokens
from splitcore.step.link import Link, out_of_turn
from splitcore.step.stages import boundary_of
from splitcore.wire.protocol.messages import Kind, Message, Phase

Tensors = dict[str, torch.Tensor]
GROUP = ""  # whose sum it is, if parties were computed together


@dataclass
class Progress:
    """One party's progress in the current step."""

    forwards: int = 0
    backwards: int = 0
    passes: dict[int, Pass] = field(default_factory=dict)
    loss: float = 0.0
    seen: torch.Tensor | int = 0  # real tokens; read only at the step's end, so that no micro-batch waits for it


class BodyWork:
    """Answers activations with activations (or a loss), and gradients with gradients; sums the body's own.

    In groups, micro-batch m of all parties is computed once all of them have arrived, in the contract's order.
    """

    def __init__(
        self,
        *,
        plan: RunPlan,
        links: Mapping[str, Link],
        clock: Clock,
        runtime: Runtime,
        tokens_of: Callable[[str], int | None],
    ) -> None:
        """`tokens_of`: the denominator of a party's loss in the current step, where it is known."""
        self._plan, self._config, self._links, self._clock = plan, plan.settings.config, links, clock
        self._runtime, self._tokens_of = runtime, tokens_of
        width, scratch = hidden_width(plan.model_config), plan.settings.out / "caches"
        self.boundaries = {
            party: boundary_of(self._config, party, clock, width=width, holds=True, folder=scratch) for party in links
        }
        self._since_average = dict.fromkeys(links, 0)  # target tokens, where bodies are averaged
        self._waiting: deque[tuple[str, Message]] = deque()  # micro-batches whose loss has no denominator yet
        self.begin(0)

    # ---- state that outlives the process

    def state(self) -> Tensors:
        """The caches of the parties' activations, by the party's place in the contract, and each one's own body."""
        caches = {
            f"{place}.{name}": tensor
            for place, boundary in enumerate(self.boundaries.values())
            for name, tensor in boundary.state().items()
        }
        if not self._runtime.own:
            return caches
        return {**caches, "since_average": torch.tensor(list(self._since_average.values())), **self._runtime.state()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what `state` returned."""
        for place, boundary in enumerate(self.boundaries.values()):
            own = f"{place}."
            boundary.restore({name.removeprefix(own): value for name, value in state.items() if name.startswith(own)})
        if self._runtime.own:
            self._since_average = dict(zip(self._links, state["since_average"].tolist(), strict=True))
            self._runtime.restore(state)

    def close(self) -> None:
        """Delete the cached activations of all parties."""
        for boundary in self.boundaries.values():
            boundary.close()

    def settle(self) -> None:
        """The step is complete."""
        for boundary in self.boundaries.values():
            boundary.settle()

    def begin(self, step: int) -> None:
        """A new step."""
        self._step = step
        self.progress = {party: Progress() for party in self._links}
        self.sums: dict[str, Tensors] = {}  # party (or GROUP) → the body's gradients, summed over micro-batches
        self._forming: dict[tuple[Phase, int], dict[str, Message]] = {}

    def forget(self, party: str) -> None:
        """Drop everything a party contributed to the step."""
        self.progress[party] = Progress()
        self.sums.pop(party, None)
        self.boundaries[party].finite.clear()
        self._waiting = deque((name, message) for name, message in self._waiting if name != party)

    # ---- forward

    def forward(self, party: str, message: Message) -> None:
        """Take a micro-batch; it waits where its loss is computed here and has no denominator yet.

        Raises AppError CL-1505, 1309.
        """
        if self._runtime.has_output and self._tokens_of(party) is None:
            self._waiting.append((party, message))
            return
        progress = self.progress[party]
        if message.micro != progress.forwards or message.micro >= self._config.training.micro_batches:
            raise out_of_turn(message)
        progress.forwards += 1
        group = self._group(party, message)
        if not group:
            return
        with self._clock.stage("body_forward"):
            micro_batches = [self._open(name, one) for name, one in group.items()]
            for micro_batch in micro_batches:
                self.progress[micro_batch.party].seen += micro_batch.at.mask_BL.sum()
            done = self._runtime.forward(micro_batches, message.micro)
        if self._runtime.has_output:
            self._loss_here(done, message.micro)
            return
        for micro_batch, output_BLD in done.outputs():
            self.progress[micro_batch.party].passes[message.micro] = done
            self._send(micro_batch, Kind.ACTIVATIONS, Phase.BODY_DOWN, output_BLD)

    def go_on(self) -> None:
        """Process the waiting micro-batches as far as possible."""
        waiting, self._waiting = self._waiting, deque()
        for party, message in waiting:
            self.forward(party, message)

    def _group(self, party: str, message: Message) -> dict[str, Message]:
        """The messages to compute together with this one, in the contract's order; empty while one is missing."""
        if not self._plan.grouped:
            return {party: message}
        forming = self._forming.setdefault((message.phase, message.micro), {})
        forming[party] = message
        together = self._plan.active(self._step)
        if len(forming) < len(together):
            return {}
        del self._forming[message.phase, message.micro]
        return {name: forming[name] for name in together}

    def _open(self, party: str, message: Message) -> MicroBatch:
        """Hidden states and mask (and labels) of a message. Raises AppError CL-1309, 1311 if they don't match."""
        device, boundary = self._runtime.device, self.boundaries[party]
        at = boundary.at(message, device)
        hidden_BLD = boundary.back(message, at, device=device, dtype=self._runtime.dtype)
        labels_BL = decode(message.tensors["labels"], device=device) if "labels" in message.tensors else None
        if labels_BL is not None and bool(((labels_BL < 0) & (labels_BL != IGNORED)).any()):
            raise AppError("CL-1311", "A label isn't a token id.")
        classes = self._config.data.task.classes
        if labels_BL is not None and classes and bool((labels_BL >= classes).any()):
            raise AppError("CL-1311", "A label isn't one of the run's labels.")
        if labels_BL is not None and labels_BL.shape != at.mask_BL.shape:
            raise AppError("CL-1309")
        return MicroBatch(party, hidden_BLD, at, labels_BL)

    # ---- backward

    def _loss_here(self, done: Pass, micro: int) -> None:
        """Vanilla: the loss is computed on this side, together with its gradient."""
        with self._clock.stage("body_backward"):
            losses = done.losses()
            shares = [loss / self._loss_normaliser(party) for party, loss in zip(done.parties, losses, strict=True)]
            done.backward_from(shares[0] if len(shares) == 1 else torch.stack(shares).sum())
            self._collect(done.parties)
        for party, summed in zip(done.parties, losses, strict=True):
            loss = self.boundaries[party].finite.number(summed.item(), "loss")
            self.progress[party].loss += loss
            self.progress[party].backwards += 1
            self._links[party].send(Kind.LOSS, step=self._step, micro=micro, body={"loss": loss})
        self._gradients_down(done)

    def _loss_normaliser(self, party: str) -> int:
        tokens = self._tokens_of(party)
        if tokens is None:
            raise RuntimeError("a micro-batch was computed before its normaliser was known")
        return tokens

    def backward(self, party: str, message: Message) -> None:
        """Take the gradient of what left the body. Raises AppError CL-1505, 1309."""
        progress = self.progress[party]
        if message.micro != progress.backwards or message.micro not in progress.passes:
            raise out_of_turn(message)
        progress.backwards += 1
        group = self._group(party, message)
        if not group:
            return
        done = progress.passes[message.micro]
        for name in group:
            del self.progress[name].passes[message.micro]
        with self._clock.stage("body_backward"):
            done.backward(
                [
                    self.boundaries[micro_batch.party].back(
                        group[micro_batch.party], micro_batch.at, device=self._runtime.device, dtype=output_BLD.dtype
                    )
                    for micro_batch, output_BLD in done.outputs()
                ]
            )
            self._collect(done.parties)
        self._gradients_down(done)

    def _collect(self, parties: Sequence[str]) -> None:
        """Move the parameters' gradients to separate sums, because the parties' backward passes arrive in any order."""
        for party in parties if self._runtime.own else parties[:1]:
            key = party if self._runtime.own or not self._plan.grouped else GROUP
            sums = self.sums.setdefault(key, {})
            for name, gradient in self._runtime.take_gradients(party):
                if name in sums:
                    sums[name].add_(gradient)
                else:
                    sums[name] = gradient

    def _gradients_down(self, done: Pass) -> None:
        if not self._config.lora.train_head:
            return
        for micro_batch, gradient_BLD in done.input_gradients():
            self._send(micro_batch, Kind.GRADIENTS, Phase.BODY_GRAD_DOWN, gradient_BLD)

    def _send(self, micro_batch: MicroBatch, kind: Kind, phase: Phase, tensor_BLD: torch.Tensor) -> None:
        at = micro_batch.at
        tensors = self.boundaries[micro_batch.party].out(phase, at, tensor_BLD)
        self._links[micro_batch.party].send(kind, step=at.step, micro=at.micro, phase=phase, tensors=tensors)

    # ---- evaluation

    def evaluate(self, party: str, message: Message) -> None:
        """Forward only. Between steps, no party has a step in progress. Raises AppError CL-1505, 1309."""
        if self.progress[party].forwards:
            raise out_of_turn(message)
        with self._clock.stage("evaluate"):
            micro_batch = self._open(party, message)
            output = self._runtime.score(micro_batch)
        to, finite = {"step": message.step, "micro": message.micro, "evaluation": True}, self.boundaries[party].finite
        if micro_batch.labels_BL is not None:
            if self._config.data.task.classes:
                summed, told = class_loss_sum(output, micro_batch.labels_BL), classes_of(output, micro_batch.labels_BL)
            else:
                summed, told = loss_sum(output, micro_batch.labels_BL), next_tokens(output, micro_batch.at.mask_BL)
            body = {"loss": finite.number(summed.item(), "loss"), "next": [*told], **finite.told()}
            self._links[party].send(Kind.LOSS, **to, body=body)  # type: ignore[arg-type]
            return
        tensors = self.boundaries[party].out(Phase.BODY_DOWN, micro_batch.at, output)
        self._links[party].send(Kind.ACTIVATIONS, **to, phase=Phase.BODY_DOWN, body=finite.told(), tensors=tensors)  # type: ignore[arg-type]

    # ---- the update

    def faults(self, parties: Sequence[str]) -> list[Fault]:
        """Where values of these parties were not finite here, in the parties' order; reported once."""
        found = [Fault(SERVER, where, party) for party in parties if (where := self.boundaries[party].finite.where)]
        for party in parties:
            self.boundaries[party].finite.clear()
        return found

    def average(self, counts: Mapping[str, int], *, is_due: bool) -> None:
        """Note the tokens of a step; when due, the mean of the parties' bodies by their tokens since the last one."""
        for party, tokens in counts.items():
            self._since_average[party] += tokens
        if is_due:
            total = sum(self._since_average.values())
            self._runtime.average({party: tokens / total for party, tokens in self._since_average.items()})
            self._since_average = dict.fromkeys(self._links, 0)
