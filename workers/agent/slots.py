"""A site's Celery processes: one for each GPU, and one beside training while there are jobs for it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from workers import contracts
from workers.celery import BROKER_VARIABLE
from workers.processes import signal_group, start
from workers.settings import WorkerHome

RESTART_SECONDS = 5.0  # least time between two starts of one child
BESIDE_SECONDS = 300.0  # without a job for so long the process beside training ends: its memory is for the halves
BESIDE_NICENESS = 10
OPTIONS = "--pool solo --concurrency 1 --without-gossip --without-mingle --without-heartbeat --loglevel WARNING"


class Slot:
    """One Celery process: one job at a time, on one GPU where there is one."""

    queue, niceness = contracts.QUEUE, 0

    def __init__(self, home: WorkerHome, worker_id: str, name: str, environment: Mapping[str, str]) -> None:
        self._home, self._worker_id, self._name, self._environment = home, worker_id, name, environment
        self.process: subprocess.Popen[bytes] | None = None
        self._started_at = -math.inf

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def look_after(self, broker_url: str) -> bool:
        """Start its process again where that has ended by itself; True: it had, and messages may be lost."""
        is_due = not self.runs and time.monotonic() - self._started_at > RESTART_SECONDS
        if is_due:
            self.start(broker_url)
        return is_due

    def start(self, broker_url: str) -> None:
        """Start its process."""
        environment = {
            "CUTLAYER_WORKER_HOME": str(self._home.root),
            BROKER_VARIABLE: broker_url,
            "DJANGO_SETTINGS_MODULE": "",  # the console's; Celery would load Django for it
            **self._environment,
        }
        command = [sys.executable, "-m", "celery", "-A", "workers.celery", "worker", *OPTIONS.split()]
        command += ["-Q", self.queue, "-n", f"slot-{self._name}@{self._worker_id}"]
        self.process = start(command, log=self._home.logs / f"celery-{self._name}.log", env=environment)
        self._started_at = time.monotonic()
        if self.niceness:
            with contextlib.suppress(OSError):  # gone already: the next look starts it again
                os.setpriority(os.PRIO_PROCESS, self.process.pid, self.niceness)  # its jobs inherit it

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process and what that has started."""
        if self.process is not None and self.runs:
            signal_group(self.process, number)

    def end(self) -> None:
        """End its process at once, with whatever is left of its group."""
        if self.process is not None:
            signal_group(self.process, signal.SIGKILL)
            self.process.wait()


class SlotBeside(Slot):
    """The one beside training: at low priority, there while it is rung for or at work, and a while longer."""

    queue, niceness = contracts.QUEUE_BESIDE, BESIDE_NICENESS

    def __init__(self, home: WorkerHome, worker_id: str, *, is_busy: Callable[[], bool]) -> None:
        # no GPU is visible in it, and no process stays warm: what it holds between jobs is Celery alone
        super().__init__(home, worker_id, "beside", {"CUDA_VISIBLE_DEVICES": "", "CUTLAYER_WARM_HALVES": "0"})
        self._is_busy = is_busy
        self._wanted_at = -math.inf  # when a job was rung for last, or was seen at work
        self._ends = False

    def rung_for(self) -> None:
        """A job is rung for: the next look starts the process, if it isn't there."""
        self._wanted_at = time.monotonic()

    def look_after(self, broker_url: str) -> bool:
        """Start its process when it is wanted, and end it when it was idle for long; True: it was lost."""
        if time.monotonic() - self._wanted_at < BESIDE_SECONDS:
            was_lost = self.process is not None and not self._ends
            if not super().look_after(broker_url):
                return False
            self._ends = False
            return was_lost
        if self.runs and not self._ends:
            if self._is_busy():
                self.rung_for()
            else:
                self._ends = True
                self.signal(signal.SIGTERM)
        return False
