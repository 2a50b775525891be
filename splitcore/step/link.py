"""A half's end of a channel: timed, counted and always responsive to a stop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

import torch

from splitcore.codecs.payload import Payload
from splitcore.codecs.tensors import encode
from splitcore.control.clock import Clock
from splitcore.control.controller import SLICE, Controller, StoppedError
from splitcore.control.events import SERVER
from splitcore.errors import AppError
from splitcore.wire.protocol.channel import Channel
from splitcore.wire.protocol.messages import ChannelError, Json, Kind, Message, PeerError, Phase

Encodable = tuple[torch.Tensor, str] | Payload  # (tensor, codec), or a payload that is already encoded
TensorsIn = Mapping[str, Encodable]


LOST = frozenset({"CL-1326", "CL-1328", "CL-1530"})  # how a conversation ends when a half of the run is lost


class LostError(AppError):
    """Another half of the run is lost. Everything saved is intact, and the run can be resumed."""


class Link:
    """Sends and receives for one half's compute thread."""

    def __init__(self, channel: Channel, controller: Controller, clock: Clock, *, peer: str) -> None:
        """`peer` is the party at the other end, or "server"."""
        self.channel, self._controller, self._clock, self.peer = channel, controller, clock, peer

    def send(
        self,
        kind: Kind,
        *,
        step: int = 0,
        micro: int = 0,
        phase: Phase = Phase.NONE,
        evaluation: bool = False,
        body: Mapping[str, Json] | None = None,
        tensors: TensorsIn | None = None,
    ) -> None:
        """Encode and queue a message. Raises StoppedError while waiting for room, LostError CL-1530."""
        self._clock.point(f"send:{kind}:{phase}" if phase else f"send:{kind}")
        with self._clock.stage("encode"):
            payloads = {
                name: entry if isinstance(entry, Payload) else encode(*entry) for name, entry in (tensors or {}).items()
            }
        message = Message(kind, step, micro, phase, evaluation, dict(body or {}), payloads)
        with self._clock.stage("send"):
            while True:
                try:
                    self.channel.send(message, timeout=SLICE)
                    return
                except ChannelError as error:
                    if error.code == "CL-1328":
                        self._look_for_stop()
                    if error.code != "CL-1331":
                        raise self._lost(error) from None
                    self._controller.gate()
                except PeerError as error:
                    raise self._lost(error) from None

    def _look_for_stop(self) -> None:
        """The other half is lost: raise StoppedError if it announced its stop."""
        with suppress(ChannelError, PeerError):
            while True:
                self.checked(self.channel.receive(timeout=0.0))

    def receive(self, *, timeout: float | None = None, grace: float = 0.0) -> Message:
        """The next message. Raises StoppedError when either half is to stop, ChannelError CL-1327 after `timeout`,
        LostError CL-1530.

        For `grace` seconds after a stop or pause is wanted here it still waits: the other half may be about to step.
        """
        deadline = None if timeout is None else monotonic() + timeout
        leave: float | None = None
        with self._clock.stage("wait"):
            while True:
                if self._controller.wanted() != "run":
                    leave = leave or monotonic() + grace
                    if monotonic() >= leave:
                        self._controller.gate()
                try:
                    return self.checked(self.channel.receive(timeout=SLICE))
                except ChannelError as error:
                    if error.code != "CL-1327" or (deadline is not None and monotonic() > deadline):
                        raise self._lost(error) from None
                except PeerError as error:
                    raise self._lost(error) from None

    def take_ready(self) -> Message | None:
        """A message that has already arrived."""
        self._controller.gate()
        try:
            return self.checked(self.channel.receive(timeout=SLICE)) if self.channel.ready() else None
        except (ChannelError, PeerError) as error:
            raise self._lost(error) from None

    def _lost(self, error: AppError) -> AppError:
        """The same error, or that a half was lost: which one, the half that noticed first has said."""
        replaced = error.code == "CL-1306" and self.peer != SERVER  # the client half was started anew
        if error.code not in LOST and not replaced:
            return error
        return LostError(
            "CL-1530", details={"party": self.peer if error.code != "CL-1530" else "", "cause": error.code}
        )

    @staticmethod
    def checked(message: Message) -> Message:
        """Turn the other half's stop into this one's."""
        if message.kind is Kind.CONTROL and message.body.get("action") == "stop":
            raise StoppedError
        return message

    def tell_stop(self) -> None:
        """Tell the other half that this one is stopping, and leave; it may already be gone."""
        try:
            self.channel.send(Message(Kind.CONTROL, body={"action": "stop"}), timeout=SLICE)
        except AppError:
            return
        self.channel.close(timeout=0.5)


def out_of_turn(message: Message) -> AppError:
    """The error for a message that this point of the protocol does not expect."""
    return AppError(
        "CL-1505",
        f"A message of kind '{message.kind}' arrived out of turn.",
        details={"step": message.step, "micro": message.micro, "phase": str(message.phase)},
    )


def number(message: Message, key: str) -> float:
    """A number in a message's body. Raises AppError CL-1505."""
    value = message.body.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise out_of_turn(message)
    return value


def text(message: Message, key: str) -> str:
    """A text in a message's body. Raises AppError CL-1505."""
    value = message.body.get(key)
    if not isinstance(value, str):
        raise out_of_turn(message)
    return value
