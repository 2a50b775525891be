"""The agent's child processes: the queue and the Celery processes, started again when one ends by itself."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable

from celery import Celery

from workers import contracts
from workers.agent.broker import Broker
from workers.agent.slots import Slot, SlotBeside
from workers.facts import find_gpus
from workers.settings import WorkerConfig, WorkerHome

log = logging.getLogger(__name__)


class Children:
    """Starts, watches and ends them. Use it from one thread that lives as long as they may (see `processes.start`)."""

    def __init__(
        self, home: WorkerHome, config: WorkerConfig, *, is_busy_beside: Callable[[], bool] = lambda: False
    ) -> None:
        self._broker = Broker(home)
        self._celery: Celery | None = None
        self._beside = SlotBeside(home, config.worker_id, is_busy=is_busy_beside)
        self._slots = [
            Slot(home, config.worker_id, str(number), environment)
            for number, environment in enumerate(_environments(config))
        ]

    @property
    def queue_url(self) -> str:
        """Celery's address of the queue."""
        return self._broker.url

    def start(self) -> None:
        """Start the queue, then the Celery processes. Raises AppError CL-1441, CL-1442."""
        self.start_queue()
        for slot in self._slots:
            slot.start(self.queue_url)

    def look_after(self) -> bool:
        """Start again what has ended by itself; True: something had, and messages may be lost. Raises AppError."""
        anew = not self._broker.is_running()
        if anew:
            log.warning("the local queue exited; restarting it")
            self.start_queue()
        return any([anew, *(slot.look_after(self.queue_url) for slot in [*self._slots, self._beside])])

    def queue_was_emptied(self) -> bool:
        """Whether the queue has lost its messages though it runs; told once. Waits for the queue: use any thread."""
        emptied = self._broker.is_running() and self._broker.was_emptied()
        if emptied:
            log.warning("the local queue was emptied")
        return emptied

    def start_queue(self) -> None:
        """Start the queue alone. Raises AppError CL-1441, CL-1442."""
        self._broker.start()
        self._broker.mark()
        self._celery = _doorbell(self._broker)

    def ring(self, run_id: str, job_id: str) -> None:
        """Ring the doorbell: two ids and nothing else."""
        self._send(contracts.QUEUE, run_id, job_id)

    def ring_beside(self, run_id: str, job_id: str) -> None:
        """The same for a job beside training; its process is started at the next look, if it isn't there."""
        self._beside.rung_for()
        self._send(contracts.QUEUE_BESIDE, run_id, job_id)

    def _send(self, queue: str, run_id: str, job_id: str) -> None:
        if self._celery is not None:
            ids = [run_id, job_id]
            self._celery.send_task(contracts.TASK_SUPERVISE, args=ids, queue=queue, ignore_result=True, retry=False)

    def stop(self, *, grace: float) -> None:
        """TERM to the Celery processes, which end their jobs first; KILL after `grace` seconds; then the queue."""
        running = [slot for slot in [*self._slots, self._beside] if slot.runs]
        for slot in running:
            slot.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while any(slot.runs for slot in running) and time.monotonic() < deadline:
            time.sleep(0.05)
        for slot in running:
            slot.end()
        self._broker.stop()


def _doorbell(broker: Broker) -> Celery:
    app = Celery("cutlayer-doorbell", broker=broker.url)
    app.conf.update(task_default_queue=contracts.QUEUE, task_serializer="json", broker_connection_timeout=2)
    return app


def _environments(config: WorkerConfig) -> list[dict[str, str]]:
    """One environment a Celery process: each GPU belongs to one of them."""
    gpus = len(find_gpus())
    count = config.slots or max(1, gpus)
    return [{"CUDA_VISIBLE_DEVICES": str(number % gpus)} if gpus else {} for number in range(count)]
