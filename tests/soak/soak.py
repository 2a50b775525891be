"""Two stretches of runs and kills, and the long-lived processes at rest after each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from demo.launch.groups import WORKERS
from tests.integration.drills import halves
from tests.soak.kills import Victim, around, first_all
from tests.soak.living import Change, Progress, changes, read_at_rest
from tests.soak.runs import Runs
from tests.stack import Stack

PAUSE = 0.5
STRIDE = 4  # steps of a run between two deaths: one that never gets on is given up, as it should be
TAIL_SECONDS = 900.0  # for the runs that are live when the time is up; after that they are lost


@dataclass(frozen=True)
class Plan:
    """How long, how many runs, how often something dies."""

    seconds: float
    at_once: int = 5
    least: int = 5  # runs of each stretch, however long they take
    steps: int = 40
    every: float = 20.0  # seconds between two kills
    first: float = 1 / 3  # the first stretch's part of the time: what lives long is killed in it


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    runs: int
    recoveries: int
    kills: dict[str, int]
    changes: list[Change]
    seconds: float

    def faults(self) -> list[str]:
        """Every growth, in words; none where all is flat."""
        return [fault for change in self.changes for fault in change.faults()]


@pytest.mark.promise(34, figure="`make soak`: 11 runs, 40 kills; memory + 2 % at most, no descriptor more")
def soak(stack: Stack, plan: Plan, progress: Progress = lambda line: None) -> Outcome:
    """Kill everything once while runs train, read, kill what is not long-lived for the rest of the time, read again.

    The reading comes after the first deaths, so that each process is read twice in one life, and not cold.
    Raises AssertionError for a lost run.
    """
    start = time.monotonic()
    kills: dict[str, int] = {}
    runs = Runs(stack, plan.steps, plan.at_once)
    stretch = Stretch(runs, plan, kills, progress)
    stretch.run(first_all(), seconds=plan.seconds * plan.first)
    before = read_at_rest(stack)
    progress("first reading")
    stretch.run(around(), seconds=plan.seconds - (time.monotonic() - start))
    after = read_at_rest(stack)
    assert not halves(stack, *WORKERS), "a half runs on, though no run is live"
    return Outcome(runs.done, runs.recoveries, kills, changes(before, after), time.monotonic() - start)


@dataclass
class Stretch:
    """Runs and kills for a while."""

    runs: Runs
    plan: Plan
    kills: dict[str, int]
    progress: Progress

    def run(self, victims: Iterator[Victim], *, seconds: float) -> None:
        """Until the time holds no more run and every one has ended."""
        end, least = time.monotonic() + seconds, self.runs.launched + self.plan.least
        due = time.monotonic()
        at: tuple[str, int] = ("", 0)  # the run in which something died last, and its step then
        while self.runs.live or self.runs.wants(end - time.monotonic(), least=least):
            assert time.monotonic() < end + TAIL_SECONDS, f"lost: {self.runs.live} do not end"
            if self.runs.wants(end - time.monotonic(), least=least):
                self.runs.start()
            self.runs.look()
            run = self.runs.training() if time.monotonic() >= due else None
            if run is not None and (run["id"] != at[0] or run["step"] >= at[1] + STRIDE):
                self._kill(next(victims), run["step"])
                at, due = (run["id"], run["step"]), time.monotonic() + self.plan.every
            time.sleep(PAUSE)

    def _kill(self, victim: Victim, step: int) -> None:
        if victim.kill(self.runs.stack):
            self.kills[victim.name] = self.kills.get(victim.name, 0) + 1
            self.progress(f"killed {victim.name} at step {step}; {self.runs.done} runs are done")
