"""The kinds of jobs that this worker knows: one line each. Loads no torch."""

from __future__ import annotations

from splitcore.errors import AppError
from workers.contracts import JOB_KIND, PROTOCOL_VERSION, Assignment
from workers.jobs.folder import JobFolder
from workers.jobs.kinds.audit.kind import Audit
from workers.jobs.kinds.evaluate.kind import Evaluate
from workers.jobs.kinds.kind import JobKind
from workers.jobs.kinds.train.kind import Train
from workers.jobs.kinds.verify.kind import Verify

KINDS: dict[str, JobKind] = {kind.name: kind for kind in (Train(), Evaluate(), Verify(), Audit())}
# Their lanes would stand in the place of the half's, whose participant and attempt they share.
SILENT = frozenset(name for name, kind in KINDS.items() if not kind.tells_phases)
ALONE = frozenset(name for name, kind in KINDS.items() if kind.is_alone)


def kind_of(assignment: Assignment) -> JobKind:
    """The kind of an assignment. Raises AppError CL-1525 for a newer hub's, CL-1425 for one that no version knows."""
    if assignment.kind in KINDS:
        return KINDS[assignment.kind]
    if assignment.kind_since <= PROTOCOL_VERSION:
        raise _refusal("CL-1425", f"The hub asked for “{assignment.kind}”, which isn't a kind of job.")
    raise _refusal(
        "CL-1525",
        f"A job of the kind “{assignment.kind}” needs a worker of protocol {assignment.kind_since}; this one supports "
        f"up to {PROTOCOL_VERSION} (CL-1525).",
    )


def _refusal(code: str, message: str) -> AppError:
    return AppError(code, message, details={"fields": [{"field": JOB_KIND, "message": message}]})


def is_beside(kind: str) -> bool:
    """Whether jobs of this kind have a slot beside training."""
    return kind in KINDS and KINDS[kind].is_beside


def is_steered(kind: str) -> bool:
    """Whether pause, stop and budget reach a job of this kind; one that a newer version left behind is let alone."""
    return kind in KINDS and KINDS[kind].is_steered


def clear_left(kind: str, folder: JobFolder) -> None:
    """Delete what a killed job has left and nobody goes on from; of a kind that a newer version left behind nothing."""
    if kind in KINDS:
        KINDS[kind].clear(folder)
