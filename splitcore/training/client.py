"""The client half: head and (u_shape) tail of one data party. Rows, tokens and, in the u_shape, labels stay here.

Shapes: B rows of a micro-batch, L tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from splitcore.adapters.lora import AdapterLayout
from splitcore.boundary.choice import Place
from splitcore.checkpoints.checkpointer import Checkpointer, fingerprint, held_json, parts_of
from splitcore.config.length import check_length, evaluates_at
from splitcore.control.clock import Clock
from splitcore.control.controller import Controller, StoppedError
from splitcore.control.events import SERVER
from splitcore.data.batches import Batch
from splitcore.errors import AppError, ErrorRole, role_of
from splitcore.errors.numbers import code_of
from splitcore.models.carve import hidden_width
from splitcore.optimise.optimiser import Optimiser
from splitcore.run.plan import run_plan
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.step.client import ClientStep, StepOutcome
from splitcore.step.evaluate import ClientEvaluation
from splitcore.step.faults import Skips
from splitcore.step.inbox import TooLateError
from splitcore.step.link import Link, LostError, number, out_of_turn, text
from splitcore.training.halves import (
    admit_model,
    hello_body,
    in_flight,
    load_with_adapter,
    named_adapter,
    share_embedding,
    wire_limits,
    write_segment,
)
from splitcore.training.mask_keys import Hiding, agreed_hiding
from splitcore.training.party_rows import PartyRows, Rows
from splitcore.training.spending import begin_accounting, releases_of
from splitcore.training.step_report import StepReport
from splitcore.wire.protocol.channel import Channel
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import Kind


class ClientHalf:
    """One data party's half of a run: build it, then `run` it once."""

    def __init__(
        self,
        settings: HalfSettings,
        *,
        party: str,
        rows: Rows,
        connect: Callable[[FrameLimits], Channel],
        eval_rows: Rows = (),
        attempt: int = 1,
        sample_prompts: Sequence[str] = (),
        sample_tokens: int = 32,
    ) -> None:
        """`connect` is called once, after the model is loaded, with what the channel may accept."""
        self._settings, self._party, self._attempt = settings, party, attempt
        self._config = settings.config.for_party(party)
        self._texts, self._connect = (rows, eval_rows), connect
        self._prompts, self._sample_tokens = list(sample_prompts), sample_tokens
        self._controller, self._clock = (
            Controller(settings.emit, settings.control, party),
            Clock(lambda name: settings.observe(name, self._step)),
        )
        self._step = 0
        self._skips = Skips(self._controller, settings.config)

    def run(self) -> HalfResult:
        """Train. Raises AppError; a stop is no error but a result whose status is "stopped"."""
        self._controller.phase("starting")
        try:
            self._prepare()
        except StoppedError:
            return self._result("stopped")
        try:
            self._converse()
        except StoppedError:
            return self._stopped()
        except BaseException as error:
            if isinstance(error, LostError) or role_of(getattr(error, "code", "")) is ErrorRole.HOLD:
                self._checkpointer.save_if_possible(self._step)
            self._link.channel.abort(code_of(error))
            raise
        return self._finish()

    # ---- before the conversation

    def _prepare(self) -> None:
        """Model, adapter, rows, then the connection."""
        with self._clock.stage("load"):
            self._plan = run_plan(self._settings)
            self._controller.phase("admission")
            admit_model(self._plan)
            self._controller.phase("loading_data")
            self._rows = PartyRows(self._plan, self._party, *self._texts)
            self._rows.tell_left_out(self._settings.emit)
            self._controller.gate()
            self._controller.phase("loading_model")
            self._load()
        self._controller.gate()
        self._checkpointer = Checkpointer(
            self._settings,
            self._party,
            self._controller,
            self._clock,
            attempt=self._attempt,
            data=fingerprint(list(self._rows)),
        )
        self._controller.phase("connecting")
        body = set(self._layout.shapes) - set(self._parameters)
        limits = wire_limits(self._plan, self._party, "client", self._layout, body, self._attempt)
        self._link = Link(self._connect(limits), self._controller, self._clock, peer=SERVER)

    def _load(self) -> None:
        plan, lora = self._plan, self._config.lora
        self._layout: AdapterLayout = plan.layout(lora)
        self._head = load_with_adapter(plan, "head", self._layout, lora)
        self._tail = load_with_adapter(plan, "tail", self._layout, lora) if "tail" in plan.plans else None
        if self._tail is not None:
            share_embedding(self._head, self._tail)
        self._segments = [segment for segment in (self._head, self._tail) if segment is not None]
        own = named_adapter(*self._segments)
        self._parameters = {name: own[name] for name in self._layout.order(set(own))}
        width = hidden_width(plan.model_config)
        place = Place(self._config, self._party, self._head, width, plan.settings.checkpoint_folder)
        for strategy in self._config.cut_strategies:
            strategy.start(place, self._parameters)
        self._write("initial", 0)

    # ---- the conversation

    def _converse(self) -> None:
        """From hello to bye."""
        hello = {"rows": len(self._rows), "held": held_json(self._checkpointer.held())}
        self._link.send(Kind.HELLO, body={**hello_body(self._plan), **hello})
        welcome = self._link.receive()
        if welcome.kind is not Kind.WELCOME:
            raise out_of_turn(welcome)
        config, parties = self._settings.config, self._settings.parties
        self._total = int(number(welcome, "steps"))
        check_length(config, parties, self._party, rows=len(self._rows), steps=self._total)
        self._optimiser = Optimiser(self._parameters, self._config.training, self._total, at=self._optimising)
        first, branch = int(number(welcome, "step")), text(welcome, "branch")
        self._build_stages(agreed_hiding(self._plan, self._party, self._link, step=first, branch=branch))
        self._begin(first, branch)
        begin_accounting(
            self._plan, self._party, self._rows, range(self._total), prompts=self._evaluation.prompt_lengths()
        )
        self._report = StepReport(self._party, self._clock, self._traffic)
        if self._step < self._total:
            self._announce(self._step)
        while self._step < self._total and self._skips.ending is None:
            try:
                with self._stepper.inbox.within(self._step):
                    self._evaluate_when_due()
            except TooLateError as late:
                self._leave(late)
                continue
            self._controller.phase("training")
            self._train_step()
        if self._skips.ending is None:
            self._evaluate_when_due()
        self._link.send(Kind.BYE, step=self._step)
        if self._skips.ending is not None:
            self._checkpointer.save(self._step)
            self._link.channel.close(timeout=10.0)
            raise self._skips.ending

    def _begin(self, step: int, branch: str) -> None:
        """Go on from the step that both sides hold, or from the beginning. Raises AppError CL-1505."""
        self._checkpointer.begin(step, branch, parts_of(self._parameters, self._optimiser, self._stepper, self._skips))
        self._step = self._first = self._controller.step = step
        self._controller.on_pause = lambda: self._checkpointer.save(self._step)

    def _optimising(self, point: str) -> None:
        """The optimiser is about to change the weights, or has."""
        self._checkpointer.updating()
        self._clock.point(point)

    def _build_stages(self, hiding: Hiding) -> None:
        self._stepper = ClientStep(
            link=self._link,
            clock=self._clock,
            plan=self._plan,
            config=self._config,
            party=self._party,
            segments=(self._head, self._tail),
            parameters=self._parameters,
            optimiser=self._optimiser,
            window=in_flight(self._settings.config, self._party, hidden_width(self._plan.model_config)),
            total=self._total,
            releases=releases_of(self._plan, self._party, self._rows),
            masks=hiding.masks,
            seals=hiding.seals,
        )
        self._evaluation = ClientEvaluation(
            stepper=self._stepper,
            controller=self._controller,
            tokenizer=self._rows.tokenizer,
            batches=self._rows.held_out(),
            prompts=self._prompts,
            sample_tokens=self._sample_tokens,
        )

    def _announce(self, step: int) -> None:
        """Tell the tokens of a step ahead, so that the common denominator is there when it is needed."""
        self._next = self._rows.step(step)
        if self._next:
            self._link.send(Kind.STEP_BEGIN, step=step, body={"tokens": sum(batch.targets for batch in self._next)})

    def _train_step(self) -> None:
        self._report.begin()
        self._clock.take_step()
        batches = self._next
        if self._step + 1 < self._total:
            self._announce(self._step + 1)
        outcome = self._stepper.run(self._step, self._total, batches)
        self._complete(outcome, batches)
        if outcome.late:
            self._catch_up()

    def _leave(self, late: TooLateError) -> None:
        """The step ended while this party still measured held-out rows."""
        self._report.begin()
        self._complete(self._stepper.leave(self._step, self._total, late.message))
        self._catch_up()

    def _catch_up(self) -> None:
        """Take over the steps that ended without this party, until it takes part again."""
        self._stepper.come_back(self._step)
        joins: int | None = None
        while (joins is None or self._step < joins) and self._skips.ending is None:
            self._report.begin()
            self._clock.take_step()
            found = self._stepper.missed(self._step, self._total)
            if isinstance(found, StepOutcome):
                self._complete(found)
            elif joins is None and self._step <= found <= self._total:
                joins = found
                if joins < self._total:
                    self._announce(joins)
            else:
                raise AppError("CL-1505", "The server half announced a step that can't be the next one.")

    def _complete(self, outcome: StepOutcome, batches: Sequence[Batch] = ()) -> None:
        """A step is over: what is kept and told of it."""
        self._step += 1
        self._skips.note(self._step, outcome.fault)
        self._controller.step = self._step
        seen = sum(batch.seen for batch in batches)
        self._controller.emit(self._report.finished(self._step, outcome, seen_tokens=seen))
        # after it was told: a kill between the two repeats the step's figures, in the other order it would lose them
        self._checkpointer.complete(self._step, self._total)

    def _evaluate_when_due(self) -> None:
        """At the start, every `eval_every` steps, and at the end."""
        if not evaluates_at(self._config, self._step, self._total):
            return
        with self._clock.stage("evaluate"):
            fault = self._evaluation.run(self._step)
        if fault is not None:
            # a resumed run measures again what made it pause; and after the last step there is nothing left to pause
            again = self._attempt > 1 and self._step == self._first
            self._skips.evaluated(self._step, fault, may_pause=self._step < self._total and not again)

    # ---- after it

    def _write(self, folder: str, step: int) -> list[Any]:
        lora, target = self._config.lora, self._settings.out / folder
        return [
            write_segment(self._plan, segment, self._layout, lora, party=self._party, step=step, folder=target)
            for segment in self._segments
        ]

    def _finish(self) -> HalfResult:
        self._controller.phase("finishing")
        segments = self._write("segments", self._step)
        self._evaluation.save_canary(self._settings.out / "canary.safetensors")
        self._link.channel.close(timeout=10.0)
        self._controller.phase("done")
        return self._result("done", segments=segments)

    def _stopped(self) -> HalfResult:
        """Save what is complete; the unfinished step's gradients are dropped."""
        self._controller.phase("stopping")
        self._link.tell_stop()
        folder = self._checkpointer.save(self._step)
        self._controller.phase("stopped")
        return self._result("stopped", checkpoint=folder)

    def _traffic(self) -> tuple[int, int]:
        """Bytes to the server half and from it, so far."""
        return self._link.channel.sent.bytes, self._link.channel.received.bytes

    def _result(self, status: Any, **more: Any) -> HalfResult:
        up, down = self._traffic() if hasattr(self, "_link") else (0, 0)
        return HalfResult(status, self._step, up, down, dict(self._clock.total), **more)
