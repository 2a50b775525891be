"""A client's incoming messages in a step: token totals are stored, everything else is passed on in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from splitcore.step.link import Link, number, out_of_turn
from splitcore.wire.protocol.messages import Kind, Message


class TooLateError(Exception):
    """The party's current step has ended without it."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self.message = message


class Inbox:
    """The messages of one client's link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._totals: dict[int, int] = {}
        self._stash: deque[Message] = deque()
        self._step: int | None = None  # that this party is in the middle of

    def next(self, *, grace: float = 0.0) -> Message:
        """The next message that is not the token total of a step."""
        while True:
            message = self._stash.popleft() if self._stash else self._link.receive(grace=grace)
            if not self._noted(message):
                return message

    def ready(self) -> Message | None:
        """A message that has already arrived."""
        while (message := self._stash.popleft() if self._stash else self._link.take_ready()) is not None:
            if not self._noted(message):
                return message
        return None

    def normaliser(self, step: int) -> int:
        """Wait for the number of target tokens by which a step's losses are divided."""
        while step not in self._totals:
            message = self._link.receive()
            if not self._noted(message):
                self._stash.append(message)
        return self._totals[step]

    def forget(self, step: int) -> int | None:
        """End a step and return its normaliser, if it has arrived."""
        return self._totals.pop(step, None)

    def clear(self) -> None:
        """Drop the messages of an abandoned step."""
        self._stash.clear()

    @contextmanager
    def within(self, step: int) -> Iterator[None]:
        """While this party is at `step`, raise TooLateError as soon as the step has ended without it."""
        self._step = step
        try:
            yield
        finally:
            self._step = None

    def _noted(self, message: Message) -> bool:
        if message.kind is Kind.AGGREGATE and message.step == self._step and message.body.get("late") is True:
            raise TooLateError(message)
        if message.kind is not Kind.STEP_TOTAL:
            return False
        if (tokens := int(number(message, "tokens"))) < 1:
            raise out_of_turn(message)
        self._totals[message.step] = tokens
        return True
