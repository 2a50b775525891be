"""What is wanted of a half: go on, wait, or stop; and the way for what it tells."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Literal, TypeAlias

from splitcore.control.events import Event, PhaseChanged

Desired: TypeAlias = Literal["run", "pause", "stop"]
SLICE = 0.2  # seconds between looks at what is wanted


class StoppedError(Exception):
    """This half was asked to stop, by its own site or by the other half."""


class Controller:
    """What is wanted of this half, and telling what it does."""

    def __init__(self, emit: Callable[[Event], None], control: Callable[[], Desired], party: str) -> None:
        """`emit` takes events, `control` tells what is wanted; both are called often."""
        self._emit, self._control, self.party = emit, control, party
        self.step = 0
        self.on_pause: Callable[[], object] = lambda: None
        self._phase = ""

    def emit(self, event: Event) -> None:
        """Pass an event on."""
        self._emit(event)

    def phase(self, phase: str) -> None:
        """Tell that the half does something else now."""
        if phase != self._phase:
            self._phase = phase
            self.emit(PhaseChanged(self.party, self.step, phase))

    def gate(self) -> None:
        """Go on, wait while a pause is wanted, or raise StoppedError."""
        before = self._phase
        while (wanted := self.wanted()) == "pause":
            if self._phase != "paused":
                self.phase("paused")
                self.on_pause()
            sleep(SLICE / 2)
        if wanted == "stop":
            raise StoppedError
        self.phase(before)

    def wanted(self) -> Desired:
        """What the site or the hub wants of this half now."""
        return self._control()
