"""The server half: the body (and in the vanilla topology the tail) for every data party, loaded once.

Shapes: B rows of a micro-batch, L tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from splitcore.adapters.lora import AdapterLayout
from splitcore.checkpoints.checkpointer import Checkpointer, parts_of
from splitcore.checkpoints.files import newest_common
from splitcore.config.length import total_steps
from splitcore.control.clock import Clock
from splitcore.control.controller import Controller, StoppedError
from splitcore.control.events import SERVER, PartyLate
from splitcore.errors import AppError, ErrorRole, role_of
from splitcore.errors.numbers import code_of
from splitcore.optimise.optimiser import Optimiser
from splitcore.run.plan import run_plan
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.runtime.one_device import OneDevice
from splitcore.step.faults import Skips
from splitcore.step.link import Link, LostError
from splitcore.step.server import ServerStep
from splitcore.training.greeting import greetings
from splitcore.training.halves import (
    admit_model,
    load_with_adapter,
    named_adapter,
    wire_limits,
    write_segment,
)
from splitcore.training.mask_keys import pass_keys_on
from splitcore.training.step_report import StepReport
from splitcore.wire.protocol.channel import Listener, wait_any
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import ChannelError, Kind, Message


class ServerHalf:
    """The compute party's half of a run: build it, then `run` it once."""

    def __init__(
        self,
        settings: HalfSettings,
        *,
        listen: Callable[[Mapping[str, FrameLimits]], Listener],
        attempt: int = 1,
        attempts: Mapping[str, int] | None = None,
        ready: Callable[[tuple[str, int]], None] | None = None,
        wait_for_clients: float = 3600.0,
    ) -> None:
        """`listen` opens the door before the weights are loaded; `ready` is told its address at once.

        attempt: this half's own, the fence of its checkpoints. attempts: the least that each party is let in with.
        """
        self._attempt = attempt
        self._settings, self._config = settings, settings.config
        self._listen, self._attempts, self._ready = listen, dict(attempts or {}), ready
        self._wait_for_clients = wait_for_clients
        self._controller, self._clock = (
            Controller(settings.emit, settings.control, SERVER),
            Clock(lambda name: settings.observe(name, self._step)),
        )
        self._links: dict[str, Link] = {}
        self._listener: Listener | None = None
        self._step = 0
        self._skips = Skips(self._controller, settings.config)
        self._branch = secrets.token_hex(8)  # marks the checkpoints of this attempt, see `newest_common`

    def run(self) -> HalfResult:
        """Serve one run. Raises AppError; a stop is no error but a result whose status is "stopped"."""
        self._controller.phase("starting")
        try:
            self._prepare()
            self._meet_clients()
            self._serve()
            return self._finish()
        except StoppedError:
            return self._stopped()
        except BaseException as error:
            if isinstance(error, LostError) or role_of(getattr(error, "code", "")) is ErrorRole.HOLD:
                self._checkpointer.save_if_possible(self._step)
            for link in self._links.values():
                link.channel.abort(code_of(error))
            raise
        finally:
            if self._listener is not None:
                self._listener.close()
            if hasattr(self, "_stepper"):
                self._stepper.close()

    # ---- before the first step

    def _prepare(self) -> None:
        """The door, then the body and its adapter."""
        with self._clock.stage("load"):
            self._plan = run_plan(self._settings)
            self._controller.phase("admission")
            admit_model(self._plan)
            self._layout: AdapterLayout = self._plan.layout(self._config.lora)
            self._open()
            self._controller.gate()
            self._checkpointer = Checkpointer(
                self._settings, SERVER, self._controller, self._clock, attempt=self._attempt
            )
            self._controller.phase("loading_model")
            self._body = load_with_adapter(self._plan, "body", self._layout, self._config.lora)
            own = named_adapter(self._body)
            self._parameters = {name: own[name] for name in self._layout.order(set(own))}
            self._write("initial", 0)

    def _open(self) -> None:
        """Listen, each party held to what follows from its configuration."""
        limits: dict[str, FrameLimits] = {}
        self._layouts: dict[str, AdapterLayout] = {}
        body = self._body_names()
        for party in self._settings.parties:
            layout = self._plan.layout(self._config.for_party(party).lora)
            self._layouts[party] = layout
            limits[party] = wire_limits(self._plan, party, "server", layout, body, self._attempts.get(party, 1))
        self._listener = self._listen(limits)
        if self._ready is not None:
            self._ready(self._listener.address)

    def _body_names(self) -> set[str]:
        """Adapter tensors of the body, known before it is loaded."""
        plan = self._plan.plans["body"]
        return {name for name in self._layout.shapes if self._layout.held_by(name, plan)}

    def _meet_clients(self) -> None:
        """Wait for every party's hello, check that all mean the same run, and welcome them."""
        self._controller.phase("connecting")
        if self._listener is None:
            raise RuntimeError("not listening")
        rows: dict[str, int] = {}
        held = {SERVER: self._checkpointer.held()}
        for greeting in greetings(
            self._listener, self._plan, self._controller, self._clock, seconds=self._wait_for_clients
        ):
            party = greeting.link.peer
            self._links[party] = greeting.link
            rows[party], held[party] = greeting.rows, greeting.held
        sizes = [self._config.for_party(party).training.batch_size for party in self._settings.parties]
        self._total = total_steps(self._config, [rows[party] for party in self._settings.parties], sizes)
        self._step = self._controller.step = newest_common(list(held.values()))
        for link in self._ordered():
            link.send(Kind.WELCOME, body={"steps": self._total, "step": self._step, "branch": self._branch})
        pass_keys_on(self._plan, self._ordered())

    def _ordered(self) -> list[Link]:
        """Links in the contract's order, whoever came first."""
        return [self._links[party] for party in self._settings.parties]

    # ---- training

    def _serve(self) -> None:
        """Answer messages as they come until every client has said goodbye."""
        self._controller.phase("training")
        self._optimiser = Optimiser(self._parameters, self._config.training, self._total, at=self._optimising)
        self._stepper = ServerStep(
            plan=self._plan,
            links={party: self._links[party] for party in self._settings.parties},
            layouts=self._layouts,
            clock=self._clock,
            runtime=OneDevice(
                self._body,
                self._parameters,
                self._optimiser,
                self._settings.parties,
                own=self._plan.exchange.own_body,
                config=self._config,
            ),
            names=self._parameters,
            first=self._step,
            total=self._total,
        )
        parts = parts_of(self._parameters, self._optimiser, self._stepper, self._skips)
        self._checkpointer.begin(self._step, self._branch, parts)
        self._controller.on_pause = lambda: self._checkpointer.save(self._step)
        gone: set[str] = set()
        self._report = StepReport(SERVER, self._clock, self._traffic)
        while len(gone | self._stepper.membership.gone) < len(self._links):
            self._gate()
            gone |= self._stepper.membership.gone
            for party in self._wait({name: link for name, link in self._links.items() if name not in gone}):
                message = self._taken(party)
                if message is None:
                    continue
                if message.kind is Kind.BYE:
                    gone.add(party)
                    continue
                self._stepper.handle(party, message)
            self._look_for_late()
            if self._stepper.complete():
                self._end_step()
        if self._skips.ending is not None:
            self._checkpointer.save(self._step)
            raise self._skips.ending

    def _gate(self) -> None:
        """Go on, or wait while a pause is wanted, which is nobody's lateness."""
        before = monotonic()
        self._controller.gate()
        self._stepper.membership.paused(monotonic() - before)

    def _taken(self, party: str) -> Message | None:
        """What a party has sent, if its connection stands."""
        try:
            return self._links[party].take_ready()
        except LostError as error:
            self._stepper.lose(party, error)
            return None

    def _look_for_late(self) -> None:
        """Tell who is late for this step. Raises AppError CL-1534 where the run is to pause for that."""
        late = self._stepper.look()
        if not late:
            return
        pauses = self._stepper.membership.policy == "pause"
        self._controller.emit(PartyLate(SERVER, self._step + 1, late, "pause" if pauses else "continue"))
        if pauses:
            self._checkpointer.save(self._step)
            sentence = f"'{late[0]}' didn't deliver its part of step {self._step + 1} in time."
            raise AppError("CL-1534", sentence, details={"parties": list(late), "step": self._step + 1})

    def _optimising(self, point: str) -> None:
        """The optimiser is about to change the weights, or has."""
        self._checkpointer.updating()
        self._clock.point(point)

    def _wait(self, links: Mapping[str, Link]) -> list[str]:
        """Parties with something to read, in the contract's order."""
        with self._clock.stage("wait"):
            try:
                return wait_any(
                    {party: links[party].channel for party in self._settings.parties if party in links},
                    timeout=self._stepper.patience(),
                )
            except ChannelError as error:
                if error.code != "CL-1327":
                    raise
                return []

    def _end_step(self) -> None:
        """The common update, and what is told of the step."""
        outcome = self._stepper.finish()
        self._step += 1
        self._skips.note(self._step, outcome.fault)
        self._controller.step = self._step
        self._controller.emit(
            self._report.finished(self._step, outcome, seen_tokens=outcome.seen_tokens, absent=outcome.absent)
        )
        # after it was told: a kill between the two repeats the step's figures, in the other order it would lose them
        self._checkpointer.complete(self._step, self._total)

    def _traffic(self) -> tuple[int, int]:
        channels = [link.channel for link in self._links.values()]
        return sum(channel.received.bytes for channel in channels), sum(channel.sent.bytes for channel in channels)

    # ---- after it

    def _write(self, folder: str, step: int) -> list[Any]:
        target = self._settings.out / folder
        lora = self._config.lora
        return [write_segment(self._plan, self._body, self._layout, lora, party=SERVER, step=step, folder=target)]

    def _finish(self) -> HalfResult:
        self._controller.phase("finishing")
        segments = self._write("segments", self._step)
        for link in self._ordered():
            link.channel.close(timeout=10.0)
        self._controller.phase("done")
        return self._result("done", segments=segments)

    def _stopped(self) -> HalfResult:
        """Save what is complete; the unfinished step's gradients are dropped."""
        self._controller.phase("stopping")
        for link in self._links.values():
            link.tell_stop()
        folder = self._checkpointer.save(self._step) if hasattr(self, "_checkpointer") else None
        self._controller.phase("stopped")
        return self._result("stopped", checkpoint=folder)

    def _result(self, status: Any, **more: Any) -> HalfResult:
        up, down = self._traffic()
        return HalfResult(status, self._step, up, down, dict(self._clock.total), **more)
