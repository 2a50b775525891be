"""What can happen to a run: by people, by its workers, by the clock and by the hub itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from webapp.runs.models import Participant
from workers.contracts import ErrorInfo


class Happening(StrEnum):
    """The events of the table in `transitions.py`. The table and the docs define what each does in each state."""

    # People.
    SUBMITTED = "submitted"
    CHANGED = "changed"
    AGREED = "agreed"
    DECLINED = "declined"
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"
    ARCHIVED = "archived"
    DELETED = "deleted"
    PARTY_WITHDRAWN = "party_withdrawn"
    WORKER_QUARANTINED = "worker_quarantined"
    WORKER_RELEASED = "worker_released"
    RELEASE_REFUSED = "release_refused"
    WORKER_SHUT_OUT = "worker_shut_out"
    # Workers.
    PART_CLAIMED = "part_claimed"
    SERVER_READY = "server_ready"
    FILE_BROUGHT = "file_brought"
    ADAPTER_CHECKED = "adapter_checked"
    POLICY_JUDGED = "policy_judged"
    STEP_DONE = "step_done"
    PART_DONE = "part_done"
    PART_LOST = "part_lost"
    PART_HELD = "part_held"
    PART_FAILED = "part_failed"
    PART_STOPPED = "part_stopped"
    PROCESS_GONE = "process_gone"
    CHECK_FAILED = "check_failed"
    # The clock.
    START_OVERDUE = "start_overdue"
    SILENCE_OVERDUE = "silence_overdue"
    STOP_OVERDUE = "stop_overdue"
    JOIN_OVERDUE = "join_overdue"
    OLDER_RUN_WAITS = "older_run_waits"
    # The hub.
    JOIN_FAILED = "join_failed"
    PACKAGED = "packaged"
    HUB_RESTORED = "hub_restored"


@dataclass(frozen=True)
class Event:
    """One thing that happened, with the details needed by effects and timeline."""

    happening: Happening
    detail: str = ""
    participant: Participant | None = None  # whose part it is about
    error: ErrorInfo | None = None
    phase: str = ""  # in which the part was
    told: dict[str, Any] | None = None  # of a failure: the other party, if only the sender names it
