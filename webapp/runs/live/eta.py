"""Progress and time left, by rules that never show a guess as a fact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from interface.formatting import human_duration
from webapp.runs.models import Participant, Run, RunState
from webapp.runs.states import ENDED

FIRST_STEPS, FIRST_SECONDS = 20, 60.0
SETTLED_STEPS = 100
_EARLY = (0.8, 1.5)  # of the mean, while few steps are known
_OVERDUE = 1.5


@dataclass(frozen=True)
class Progress:
    """Step, share, elapsed and the words about what is left."""

    step: int
    total: int
    elapsed: float | None
    words: str

    @property
    def share(self) -> float | None:
        """Share of the steps that are done; None while the total is not known."""
        return self.step / self.total if self.total else None

    @property
    def text(self) -> str:
        """One line beside the bar."""
        parts = []
        if self.total:
            parts.append(f"step {self.step} of {self.total} · {100 * self.step / self.total:.0f} %")
        if self.elapsed is not None:
            parts.append(human_duration(self.elapsed))
        if self.words:
            parts.append(self.words)
        return " · ".join(parts)


def progress_of(run: Run, parts: list[Participant], now: datetime | None = None) -> Progress:
    """How far a run is and what can be said of the rest."""
    now = now or timezone.now()
    ended = run.state in ENDED
    elapsed = None if ended else run_seconds(run, now)
    return Progress(min(run.step, run.total_steps or run.step), run.total_steps, elapsed, _words(run, parts, now))


def run_seconds(run: Run, now: datetime | None = None) -> float | None:
    """How long a run takes, or took: from its start to its end, on every page alike. None before it starts."""
    end = run.ended_at or now or timezone.now()
    return (end - run.started_at).total_seconds() if run.started_at else None


def _words(run: Run, parts: list[Participant], now: datetime) -> str:
    if run.state in ENDED:
        seconds = run_seconds(run)
        return f"took {human_duration(seconds)}" if seconds is not None and run.ended_at else ""
    if run.state == RunState.PAUSED:
        return "no estimate while paused"
    if any(part.phase == "dropped" for part in parts):
        return "no estimate while a worker is away"
    if run.state != RunState.TRAINING or run.training_at is None or not run.total_steps:
        return ""
    return _left(run, parts, (now - run.training_at).total_seconds())


def _left(run: Run, parts: list[Participant], trained: float) -> str:
    """Hidden until 20 steps or 60 seconds; a range while few steps are known; from the mean time of recent steps."""
    pace = max((float(part.metrics.get("seconds") or 0.0) for part in parts), default=0.0)
    if (run.step < FIRST_STEPS and trained < FIRST_SECONDS) or pace <= 0 or run.step == 0:
        return ""
    if trained > _OVERDUE * pace * run.total_steps and trained > FIRST_SECONDS:
        return "longer than expected"
    rest = pace * max(run.total_steps - run.step, 0)
    if run.step < SETTLED_STEPS and run.step < run.total_steps / 2:
        return f"{human_duration(rest * _EARLY[0])} to {human_duration(rest * _EARLY[1])} left"
    return f"about {human_duration(rest)} left"
