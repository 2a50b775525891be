"""How the server half meets the data parties: each shows what it means to train, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

from splitcore.checkpoints.checkpointer import held_from_json
from splitcore.control.clock import Clock
from splitcore.control.controller import SLICE, Controller
from splitcore.errors import AppError
from splitcore.run.plan import RunPlan
from splitcore.step.link import Link, LostError, number, out_of_turn
from splitcore.training.halves import hello_body
from splitcore.wire.protocol.channel import Channel, Listener
from splitcore.wire.protocol.messages import ChannelError, Kind, Message


@dataclass(frozen=True)
class Greeting:
    """A data party's link, and the hello that came over it."""

    link: Link
    hello: Message

    @property
    def rows(self) -> int:
        """How many rows the party trains on. Raises AppError CL-1505 for none."""
        if (rows := int(number(self.hello, "rows"))) < 1:
            raise out_of_turn(self.hello)
        return rows

    @property
    def held(self) -> dict[int, str]:
        """Step → branch of each checkpoint that it holds. Raises AppError CL-1505."""
        return held_from_json(self.hello.body.get("held"))


def greetings(
    listener: Listener, plan: RunPlan, controller: Controller, clock: Clock, *, seconds: float
) -> Iterator[Greeting]:
    """Greet whoever comes, until every party has. One comes again where its process was started anew meanwhile.

    Raises AppError CL-1505 for another run or model, ChannelError CL-1327 when one has not come within `seconds`.
    """
    deadline = monotonic() + seconds
    met: set[str] = set()
    while len(met) < len(plan.settings.parties):
        controller.gate()
        try:
            channel = listener.accept(timeout=SLICE)
        except ChannelError as error:
            if error.code != "CL-1327" or monotonic() > deadline:
                raise
            continue
        link = Link(channel, controller, clock, peer=channel.session.participant)
        try:
            hello = _hello(channel, link, plan)
        except LostError:
            continue  # its process is gone, or a newer attempt has taken its place
        yield Greeting(link, hello)
        met.add(link.peer)


def _hello(channel: Channel, link: Link, plan: RunPlan) -> Message:
    """Read a client's hello. Raises AppError CL-1505 when it means another run or model."""
    hello = link.receive(timeout=60.0)
    if hello.kind is not Kind.HELLO:
        raise out_of_turn(hello)
    expected = hello_body(plan)
    for key in expected:
        mine, theirs = expected[key], hello.body.get(key)
        if mine != theirs and not (key == "manifest" and None in (mine, theirs)):
            channel.abort("CL-1505")
            raise AppError("CL-1505", f"The half of '{link.peer}' has a different {key}.", details={"field": key})
    return hello
