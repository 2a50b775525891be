"""What `cutlayer train` shows while it trains: a live line on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from interface.formatting import human_bytes, human_duration
from splitcore.control.events import (
    SERVER,
    CheckpointChanged,
    EvaluationFinished,
    Event,
    NonFinite,
    PhaseChanged,
    RowsLeftOut,
    StepFinished,
)
from workers.cli.console import out
from workers.jobs.lines import left_out

if TYPE_CHECKING:
    from splitcore import RunResult

_WORDS = {
    "starting": "starting",
    "admission": "checking that the model can be split exactly",
    "loading_model": "loading the base model",
    "loading_data": "reading rows",
    "connecting": "connecting",
    "training": "training",
    "evaluating": "measuring held-out rows",
    "finishing": "writing the adapter",
}
_LINE_SECONDS = 5.0  # between two lines where there is no terminal
_FORGETS = 0.1  # share of a new step in the mean time of a step


class TrainingDisplay:
    """Takes the events of a training, from any thread but one at a time, and shows them."""

    def __init__(self, parties: list[str], count: Callable[[Mapping[str, int]], int], *, as_json: bool = False) -> None:
        """`count`: the steps of the training without so many rows of each party."""
        self._parties, self._count, self._as_json = parties, count, as_json
        self._left_out: dict[str, int] = {}
        self._steps = count({})
        self._losses: dict[str, float] = {}
        self._held_out: dict[int, dict[str, tuple[float, int]]] = {}
        self._bytes = 0
        self._step, self._pace = 0, 0.0
        self._last_step = self._last_line = time.monotonic()
        self._live = out.is_terminal and not as_json
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            console=out,
            disable=not self._live,
            transient=True,
        )
        self._task = self._progress.add_task("loading", total=self._steps, figures="")

    def __enter__(self) -> TrainingDisplay:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def take(self, event: Event) -> None:
        """Show an event."""
        if self._as_json:
            out.print(json.dumps(event.to_dict()), markup=False)
            return
        if isinstance(event, StepFinished):
            self._take_step(event)
        elif isinstance(event, EvaluationFinished):
            self._take_evaluation(event)
        elif isinstance(event, PhaseChanged) and event.party != SERVER and event.phase in _WORDS:
            self._progress.update(self._task, description=_WORDS[event.phase])
        elif isinstance(event, CheckpointChanged) and event.action == "resumed" and event.party == SERVER:
            self._step = event.step
            self._progress.update(self._task, completed=event.step)
            self._say(f"resumed after step {event.step}")
        elif isinstance(event, RowsLeftOut):
            self._left_out[event.party] = event.rows
            self._steps = self._count(self._left_out)
            self._progress.update(self._task, total=self._steps)
            self._say(f"{event.party}: {left_out(event)}")
        elif isinstance(event, NonFinite) and event.evaluation:
            why = f"{event.source} had a NaN or infinite value ({event.where})"
            self._say(f"after step {event.step}: the held-out loss of {event.party} is unavailable, {why}")
        elif isinstance(event, NonFinite) and event.source == event.party:
            self._say(f"step {event.step} was skipped: {event.source} had a NaN or infinite value ({event.where})")

    def finish(self, result: RunResult) -> None:
        """The last words."""
        up, down = result.bytes.get("uplink", 0), result.bytes.get("downlink", 0)
        summary: dict[str, Any] = {
            "kind": "result",
            "status": result.status,
            "eval_losses": result.eval_losses,
            "eval_scores": [(step, scores.accuracy, scores.macro_f1) for step, scores in result.eval_scores],
            "bytes": result.bytes,
            "seconds": result.seconds.get("total", 0.0),
        }
        if self._as_json:
            out.print(json.dumps(summary), markup=False)
            return
        losses = [loss for _, loss in result.eval_losses]
        fall = f", held-out loss {losses[0]:.4f} → {losses[-1]:.4f}" if len(losses) > 1 else ""
        if result.eval_scores:
            scores = result.eval_scores[-1][1]
            fall += f", accuracy {scores.accuracy:.3f}, macro-F1 {scores.macro_f1:.3f}"
        word = "Trained" if result.status == "done" else "Trained in part"
        out.print(
            f"{word}: step {self._step} of {self._steps} in {human_duration(summary['seconds'])}{fall}; "
            f"{human_bytes(up)} up, {human_bytes(down)} down."
        )

    def _take_step(self, event: StepFinished) -> None:
        if event.party == SERVER:
            return
        self._bytes += event.uplink_bytes + event.downlink_bytes
        if event.loss is not None:
            self._losses[event.party] = event.loss
        if event.step > self._step:
            now = time.monotonic()
            taken = now - self._last_step
            self._pace = taken if self._step == 0 or not self._pace else (1 - _FORGETS) * self._pace + _FORGETS * taken
            self._step, self._last_step = event.step, now
        figures = self._figures()
        self._progress.update(self._task, description="training", completed=self._step, figures=figures)
        due = self._step == self._steps or time.monotonic() - self._last_line > _LINE_SECONDS
        if due and not self._live and event.party == self._parties[-1]:
            self._say(f"step {self._step}/{self._steps}  {figures}")

    def _take_evaluation(self, event: EvaluationFinished) -> None:
        if event.loss is not None:
            self._held_out.setdefault(event.step, {})[event.party] = (event.loss, event.tokens)
            self._say(f"after step {event.step}: held-out loss of {event.party} {event.loss:.4f}")
        self._last_step = time.monotonic()  # its time is no step's

    def _figures(self) -> str:
        parts = []
        if self._losses:
            parts.append(f"loss {sum(self._losses.values()) / len(self._losses):.3f}")
        if self._held_out:
            newest = self._held_out[max(self._held_out)].values()
            tokens = sum(count for _, count in newest)
            if tokens:
                parts.append(f"held-out {sum(loss * count for loss, count in newest) / tokens:.3f}")
        parts.append(human_bytes(self._bytes))
        if self._pace and self._step < self._steps:
            parts.append(f"{human_duration(self._pace * (self._steps - self._step))} left")
        return " · ".join(parts)

    def _say(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._progress.console.print(line, markup=False)
