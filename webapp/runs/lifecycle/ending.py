"""The end of a job, as its worker tells it by an exit."""

from __future__ import annotations

from django.http import Http404

from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.jobs.selectors import job_about
from webapp.runs.fencing import part_lock
from webapp.runs.kinds.registry import KINDS
from webapp.runs.models import Participant
from workers.contracts import JOBS, Exit


@service
def participant_exit(*, worker: Worker, run_id: str, exit_: Exit) -> Participant:
    """Give the end of a job to its kind.

    What was not requested of the worker's own part does not exist for it.
    """
    _, part = part_lock(worker, run_id, exit_.participant_id)
    ends_so = exit_.kind in KINDS and isinstance(exit_, JOBS[exit_.kind].end)
    job = job_about(part.id, [exit_.kind], exit_.subject) if ends_so else None
    if job is None:
        raise Http404("No such job.")
    KINDS[exit_.kind].finish(part, job, exit_)
    return part
