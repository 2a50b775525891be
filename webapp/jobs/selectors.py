"""Queries about jobs and their attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from webapp.jobs.models import Attempt, Job
from webapp.jobs.services import TRAIN


def open_jobs(kinds: Iterable[str]) -> QuerySet[Job]:
    """The jobs of these kinds that were requested and have not ended, the oldest request first."""
    return Job.objects.filter(kind__in=list(kinds), outcome="").order_by("created_at", "id")


def has_open_job(kinds: Iterable[str]) -> Exists:
    """A condition on parts: one of these kinds is open there."""
    return Exists(open_jobs(kinds).filter(participant=OuterRef("pk")))


def with_open_jobs(kinds: Iterable[str]) -> Prefetch:
    """The open jobs of many parts in one query, as each part's `open_jobs`."""
    return Prefetch("jobs", queryset=open_jobs(kinds), to_attr="open_jobs")


def job_about(participant_id: str, kinds: Iterable[str], subject: str) -> Job | None:
    """The job of one of these kinds and this subject that was requested of a part, ended or not."""
    return Job.objects.filter(participant_id=participant_id, kind__in=list(kinds), subject=subject).first()


def subjects_asked(participant_ids: Iterable[str], kinds: Iterable[str]) -> set[tuple[str, str, str]]:
    """Participant, kind and subject of every job of these kinds that was ever requested of the parts."""
    rows = Job.objects.filter(participant_id__in=list(participant_ids), kind__in=list(kinds))
    return set(rows.values_list("participant_id", "kind", "subject"))


def attempts_of(participant_ids: Iterable[str], *, kind: str = TRAIN) -> dict[str, list[Attempt]]:
    """Every attempt of these parts at a kind of job, the oldest first."""
    rows = Attempt.objects.filter(job__participant_id__in=list(participant_ids), job__kind=kind).select_related("job")
    found: dict[str, list[Attempt]] = defaultdict(list)
    for row in rows.order_by("number"):
        found[row.job.participant_id].append(row)
    return found


def processes_gone(participant_ids: Iterable[str], *, kind: str) -> dict[str, datetime]:
    """Since when no process of a part's jobs of this kind is known to be left; of no part that has had none."""
    rows = Attempt.objects.filter(job__participant_id__in=list(participant_ids), job__kind=kind)
    ends: dict[str, list[datetime | None]] = defaultdict(list)
    for participant_id, ended_at in rows.values_list("job__participant_id", "ended_at"):
        ends[participant_id].append(ended_at)
    known = {part: [end for end in all_of_it if end is not None] for part, all_of_it in ends.items()}
    return {part: max(ended) for part, ended in known.items() if len(ended) == len(ends[part])}


def checkpoint_steps(participant_ids: Iterable[str]) -> dict[str, int]:
    """The step of the newest checkpoint that each part last reported, whichever attempt saved it."""
    told = Attempt.objects.filter(
        job__participant_id__in=list(participant_ids), job__kind=TRAIN, checkpoint_step__isnull=False
    )
    rows = told.order_by("number").values_list("job__participant_id", "checkpoint_step")
    return {participant_id: step or 0 for participant_id, step in rows}  # the highest number comes last
