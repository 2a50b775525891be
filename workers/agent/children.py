"""The agent's child processes: the queue and the Celery processes, started again when one ends by itself."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from celery import Celery

from workers import contracts
from workers.agent.broker import Broker
from workers.celery import BROKER_VARIABLE
from workers.facts import find_gpus
from workers.processes import signal_group, start
from workers.settings import WorkerConfig, WorkerHome

log = logging.getLogger(__name__)
RESTART_SECONDS = 5.0  # least time between two starts of one child
BESIDE_SECONDS = 300.0  # without a job for so long the process beside training ends: its memory is for the halves
BESIDE_NICENESS = 10


@dataclass
class Slot:
    """One Celery process: one job at a time, on one GPU where there is one."""

    name: str
    environment: dict[str, str]
    queue: str = contracts.QUEUE
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None


class Children:
    """Starts, watches and ends them. Use it from one thread that lives as long as they may (see `processes.start`)."""

    def __init__(
        self, home: WorkerHome, config: WorkerConfig, *, is_busy_beside: Callable[[], bool] = lambda: False
    ) -> None:
        self._home, self._config = home, config
        self._broker = Broker(home)
        self._celery: Celery | None = None
        self._slots = [Slot(str(number), environment) for number, environment in enumerate(_environments(config))]
        # no GPU is visible in it, and no process stays warm: what it holds between jobs is Celery alone
        environment = {"CUDA_VISIBLE_DEVICES": "", "CUTLAYER_WARM_HALVES": "0"}
        self._beside = Slot("beside", environment, contracts.QUEUE_BESIDE, BESIDE_NICENESS)
        self._is_busy_beside = is_busy_beside
        self._rung_beside = -math.inf  # when a job beside training was rung for last, or was seen at work
        self._ends_beside = False

    def start(self) -> None:
        """Start the queue, then the Celery processes. Raises AppError CL-1441, CL-1442."""
        self._start_queue()
        for slot in self._slots:
            self._start_slot(slot)

    def look_after(self) -> bool:
        """Start again what has ended by itself; True: something had, and messages may be lost. Raises AppError."""
        anew = False
        if not self._broker.is_running():
            log.warning("the local queue ended; starting it again")
            self._start_queue()
            anew = True
        for slot in self._slots:
            if not slot.runs and time.monotonic() - slot.started_at > RESTART_SECONDS:
                self._start_slot(slot)
                anew = True
        return self._look_after_beside() or anew

    def _look_after_beside(self) -> bool:
        """Start the slot beside training when it is rung for, end it when it was idle for long; True: it was lost."""
        slot, now = self._beside, time.monotonic()
        is_wanted = now - self._rung_beside < BESIDE_SECONDS
        if is_wanted and not slot.runs and now - slot.started_at > RESTART_SECONDS:
            was_lost = slot.process is not None and not self._ends_beside
            self._start_slot(slot)
            self._ends_beside = False
            return was_lost
        if not is_wanted and slot.process is not None and slot.runs and not self._ends_beside:
            if self._is_busy_beside():
                self._rung_beside = now
            else:
                self._ends_beside = True
                signal_group(slot.process, signal.SIGTERM)
        return False

    def queue_was_emptied(self) -> bool:
        """Whether the queue has lost its messages though it runs; told once. Waits for the queue: use any thread."""
        emptied = self._broker.is_running() and self._broker.was_emptied()
        if emptied:
            log.warning("the local queue was emptied")
        return emptied

    def _start_queue(self) -> None:
        self._broker.start()
        self._broker.mark()
        self._celery = _doorbell(self._broker)

    def ring(self, run_id: str, job_id: str) -> None:
        """Ring the doorbell: two ids and nothing else."""
        self._send(contracts.QUEUE, run_id, job_id)

    def ring_beside(self, run_id: str, job_id: str) -> None:
        """The same for a job beside training; its process is started at the next look, if it isn't there."""
        self._rung_beside = time.monotonic()
        self._send(contracts.QUEUE_BESIDE, run_id, job_id)

    def _send(self, queue: str, run_id: str, job_id: str) -> None:
        if self._celery is not None:
            ids = [run_id, job_id]
            self._celery.send_task(contracts.TASK_SUPERVISE, args=ids, queue=queue, ignore_result=True, retry=False)

    def stop(self, *, grace: float) -> None:
        """TERM to the Celery processes, which end their jobs first; KILL after `grace` seconds; then the queue."""
        slots = [*self._slots, self._beside]
        running = [slot.process for slot in slots if slot.process is not None and slot.runs]
        for process in running:
            signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in running:
            signal_group(process, signal.SIGKILL)
            process.wait()
        self._broker.stop()

    def _start_slot(self, slot: Slot) -> None:
        environment = {
            "CUTLAYER_WORKER_HOME": str(self._home.root),
            BROKER_VARIABLE: self._broker.url,
            "DJANGO_SETTINGS_MODULE": "",  # the console's; Celery would load Django for it
            **slot.environment,
        }
        options = "--pool solo --concurrency 1 --without-gossip --without-mingle --without-heartbeat --loglevel WARNING"
        command = [sys.executable, "-m", "celery", "-A", "workers.celery", "worker", *options.split()]
        command += ["-Q", slot.queue, "-n", f"slot-{slot.name}@{self._config.worker_id}"]
        slot.process = start(command, log=self._home.logs / f"celery-{slot.name}.log", env=environment)
        slot.started_at = time.monotonic()
        if slot.niceness:
            with contextlib.suppress(OSError):  # gone already: the next look starts it again
                os.setpriority(os.PRIO_PROCESS, slot.process.pid, slot.niceness)  # its jobs inherit it


def _doorbell(broker: Broker) -> Celery:
    app = Celery("cutlayer-doorbell", broker=broker.url)
    app.conf.update(task_default_queue=contracts.QUEUE, task_serializer="json", broker_connection_timeout=2)
    return app


def _environments(config: WorkerConfig) -> list[dict[str, str]]:
    """One environment a Celery process: each GPU belongs to one of them."""
    gpus = len(find_gpus())
    count = config.slots or max(1, gpus)
    return [{"CUDA_VISIBLE_DEVICES": str(number % gpus)} if gpus else {} for number in range(count)]
