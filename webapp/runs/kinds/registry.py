"""The kinds of jobs that the hub gives out: one line each."""

from __future__ import annotations

from collections.abc import Collection

from webapp.jobs.selectors import open_jobs
from webapp.jobs.services import job_claim
from webapp.runs.kinds.audit import Audit
from webapp.runs.kinds.checks import Evaluate, Verify
from webapp.runs.kinds.kind import HubKind
from webapp.runs.kinds.train import Train
from webapp.runs.models import Participant
from workers.contracts import Phase

BEGINNINGS = 20  # of one job by a phase: whatever a worker tells after them is of the last attempt
KINDS: dict[str, HubKind] = {kind.name: kind for kind in (Train(), Evaluate(), Verify(), Audit())}


def job_begun(part: Participant, phases: Collection[Phase]) -> None:
    """A process shows by the phases that it tells at once that it is there, of a kind that begins without a claim."""
    kinds = [name for name, kind in KINDS.items() if kind.begins_in in phases]
    job = open_jobs(kinds).filter(participant=part).first() if kinds else None
    if job is not None and job.attempts.count() < BEGINNINGS:
        job_claim(job, under=part.attempt)
