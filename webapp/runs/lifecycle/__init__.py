"""What workers cause: assignments asked for, verdicts, claims, exits, metrics."""

from webapp.runs.kinds.train import participant_claim
from webapp.runs.lifecycle.assignments import assignments_for, settled_for
from webapp.runs.lifecycle.ending import participant_exit
from webapp.runs.lifecycle.observing import participant_beat, records_observed
from webapp.runs.lifecycle.participation import (
    runs_lock,
    server_ready,
    verdict_record,
    worker_shut_out,
)

__all__ = [
    "assignments_for",
    "participant_beat",
    "participant_claim",
    "participant_exit",
    "records_observed",
    "runs_lock",
    "server_ready",
    "settled_for",
    "verdict_record",
    "worker_shut_out",
]
