"""From the engine's events to records of the contract: typed numbers and known names, never a line of a log."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Any

from splitcore.bounds import plain
from splitcore.control.events import (
    CheckpointChanged,
    EvaluationFinished,
    Event,
    NonFinite,
    PartyLate,
    PhaseChanged,
    RowsLeftOut,
    SampleWritten,
    StepFinished,
)
from workers.contracts import (
    EvalPayload,
    EventPayload,
    LogPayload,
    MetricPayload,
    Phase,
    PhasePayload,
    SamplePayload,
    WorkerEvent,
)
from workers.jobs.folder import JobSpec
from workers.jobs.lines import Line, left_out, line_of, link_line, phase_line
from workers.outbox.spool import Spool, StaleAttemptError

PROGRESS_SECONDS = 0.5
OWN_WORD = ("done", "stopping", "stopped")  # said by the exit, once the process is gone


class Reporter:
    """Writes one job's records into the spool."""

    def __init__(self, spool: Spool, spec: JobSpec) -> None:
        self._spool, self._spec = spool, spec
        self._participant = spec.assignment.participant_id
        self._phase, self._step, self._told_at = Phase.STARTING, 0, 0.0
        self._samples: dict[int, tuple[str, str]] = {}  # index → prompt, text, of the step being written
        self._sample_step: int | None = None
        self._base: list[str] = []

    def emit(self, event: Event) -> None:
        """Take an event of the engine."""
        if isinstance(event, SampleWritten):
            self._sampled(event)
            return
        self._write_samples()
        if (line := line_of(event)) is not None:
            self.log(line, step=event.step)
        if isinstance(event, PhaseChanged):
            if event.phase not in OWN_WORD:
                self.phase(Phase(event.phase), step=event.step)
        elif isinstance(event, StepFinished):
            self._step_finished(event)
        elif isinstance(event, EvaluationFinished):
            self._evaluated(event)
        elif isinstance(event, NonFinite):
            where = f"{event.source}: {event.where}{', in an evaluation' if event.evaluation else ''}"
            self.event(
                WorkerEvent.VALUES_NOT_FINITE,
                where,
                step=event.step,
                source=event.source,
                in_evaluation=event.evaluation,
            )
        elif isinstance(event, RowsLeftOut):
            self.event(WorkerEvent.ROWS_LEFT_OUT, left_out(event))
        elif isinstance(event, PartyLate):
            late = event.late[0]
            self.event(WorkerEvent.PARTY_LATE, f"{late}: {event.action}", step=event.step, source=late)
        elif isinstance(event, CheckpointChanged):
            self.event(WorkerEvent(f"checkpoint.{event.action}"), step=event.step)

    def phase(self, phase: Phase, detail: str = "", *, step: int | None = None) -> None:
        """The party entered a phase."""
        self._phase = phase
        self.log(phase_line(phase.value, step), step=step)
        self._record("phase", PhasePayload(phase=phase, detail=plain(detail)), step)
        self._progress(step, force=True)

    def event(
        self,
        name: WorkerEvent,
        detail: str = "",
        *,
        step: int | None = None,
        source: str = "",
        in_evaluation: bool = False,
    ) -> None:
        """Something for the timeline. The detail begins with the source for a hub that reads no other field."""
        told = EventPayload(name=name, detail=plain(detail), source=source, in_evaluation=in_evaluation)
        self._record("event", told, step)

    def log(self, line: Line, *, step: int | None = None) -> None:
        """A line of the Logs tab."""
        self._record("log", LogPayload(level=line.level, message=plain(line.message)), step)

    def link(self, connected: bool, again: bool) -> None:
        """The connection between the halves changed; told by the thread that keeps it, which nothing here may end."""
        try:
            self.log(link_line(connected, again=again))
        except (StaleAttemptError, sqlite3.Error):  # the job's own thread meets it too, and ends with it
            logging.getLogger(__name__).warning("a line about the connection was not stored")

    def close(self) -> None:
        """Write what is still held back."""
        self._write_samples()

    def _step_finished(self, event: StepFinished) -> None:
        busy = event.compute_seconds + event.send_seconds + event.wait_seconds
        payload = MetricPayload(
            loss=event.loss,
            tokens=event.tokens,
            seen_tokens=event.seen_tokens,
            learning_rate=event.learning_rate,
            grad_norm=event.grad_norm,
            seconds=busy,
            compute_s=event.compute_seconds,
            send_s=event.send_seconds,
            wait_s=event.wait_seconds,
            bytes_up=event.uplink_bytes,
            bytes_down=event.downlink_bytes,
        )
        self._record("metric", payload, event.step)
        self._progress(event.step)

    def _evaluated(self, event: EvaluationFinished) -> None:
        payload = EvalPayload(
            loss=event.loss,
            tokens=event.tokens,
            rows=event.rows,
            accuracy=event.accuracy,
            macro_f1=event.macro_f1,
        )
        self._record("eval", payload, event.step)

    def _sampled(self, event: SampleWritten) -> None:
        if event.step != self._sample_step:
            self._write_samples()
        self._sample_step = event.step
        self._samples[event.index] = (plain(event.prompt), plain(event.text))

    def _write_samples(self) -> None:
        """Samples come one by one; those of one step are one record. Step 0 is the base model."""
        if not self._samples:
            return
        prompts = [self._samples[index][0] for index in sorted(self._samples)][:8]
        texts = [self._samples[index][1] for index in sorted(self._samples)][:8]
        if self._sample_step == 0:
            self._base = texts
        tuned = [] if self._sample_step == 0 else texts
        self._record("sample", SamplePayload(prompts=prompts, base=self._base, tuned=tuned), self._sample_step)
        self._samples = {}

    def _record(self, kind: Any, payload: Any, step: int | None) -> None:
        self._spool.record(
            participant_id=self._participant, attempt=self._spec.attempt, kind=kind, payload=payload, step=step
        )

    def _progress(self, step: int | None, *, force: bool = False) -> None:
        self._step = step if step is not None else self._step
        if force or time.monotonic() - self._told_at > PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            self._spool.job_progress(self._spec.job_id, phase=self._phase.value, step=self._step)
