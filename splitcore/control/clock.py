"""Seconds by stage, in total and within the current step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter


def _nobody(_name: str) -> None:
    """Nobody watches."""


class Clock:
    """Adds up where a half's time goes. Stages do not overlap: send and wait are stages of their own."""

    def __init__(self, watch: Callable[[str], None] = _nobody) -> None:
        """`watch` is told the name of each stage and point when it is reached."""
        self._watch = watch
        self.total: dict[str, float] = defaultdict(float)
        self._step: dict[str, float] = defaultdict(float)
        self._nested = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block as `name`, less that of blocks inside it."""
        self._watch(name)
        outer, self._nested = self._nested, 0.0
        start = perf_counter()
        try:
            yield
        finally:
            elapsed = perf_counter() - start
            own = elapsed - self._nested
            self._nested = outer + elapsed
            self.total[name] += own
            self._step[name] += own

    def point(self, name: str) -> None:
        """Tell that a place is reached which takes no time of its own."""
        self._watch(name)

    def take_step(self) -> dict[str, float]:
        """The seconds by stage since this was last asked."""
        step, self._step = dict(self._step), defaultdict(float)
        return step
