"""The soak's runs: a number of them at once, each to be done with all its records."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from demo.launch.groups import DemoError
from demo.launch.runs import ENDED, approve_by_all, launch
from tests.integration.drills import TRAINING, check_records, records_of, reviewed, run_of
from tests.stack import Stack

PACE_FIRST = 15.0  # seconds that a run is taken to need before one has ended


@dataclass
class Runs:
    """What is live and what is done. A run that ends otherwise is an AssertionError."""

    stack: Stack
    steps: int
    at_once: int
    live: list[str] = field(default_factory=list)
    done: int = 0
    launched: int = 0
    recoveries: int = 0
    began: float = field(default_factory=time.monotonic)

    def wants(self, left: float, *, least: int) -> bool:
        """Whether to start one more: fewer are live than may be, and `left` seconds hold it or `least` is not reached.

        All are live at once and train in turn: each worker has one process for them.
        """
        fits = (len(self.live) + 1) * self._pace() <= left
        return len(self.live) < self.at_once and (fits or self.launched < least)

    def start(self) -> None:
        """Launch one, and let every organisation approve it."""
        self.live.append(self._start())

    def look(self) -> None:
        """Take note of what has ended."""
        for run_id in list(self.live):
            run = run_of(self.stack.stage, run_id)
            if run["state"] in ENDED:
                assert run["state"] == "done", f"lost: {run['name']} is {run['state']}: {run['failure']}"
                records = records_of(self.stack.stage, run_id)
                check_records(records, self.steps)
                self.recoveries += sum(one["payload"].get("name") == "run.recovering" for one in records)
                self.live.remove(run_id)
                self.done += 1

    def training(self) -> dict[str, Any] | None:
        """A run in the middle of its steps."""
        found = (run_of(self.stack.stage, run_id) for run_id in self.live)
        return next((run for run in found if run["state"] == "training" and 2 < run["step"] < self.steps - 4), None)

    def _pace(self) -> float:
        return (time.monotonic() - self.began) / self.done if self.done else PACE_FIRST

    def _start(self) -> str:
        self.launched += 1
        stage, training = self.stack.stage, {**TRAINING, "steps": self.steps, "checkpoint_every": 5}
        name = f"Soak {self.launched}"
        run_id = launch(stage, name=name, trains=("clinic", "bank"), training=training, evaluate=False)
        verdicts = reviewed(stage, run_id)
        if not all(verdict["accepted"] for verdict in verdicts.values()):
            raise DemoError(f"{name} was refused: {verdicts}")
        approve_by_all(stage, run_id)
        return run_id
