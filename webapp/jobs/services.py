"""A job's life: requested, claimed, in progress, finished. The caller holds the run's lock.

Claims count from 1: the number 0 belongs to no attempt, and none is stored for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from webapp.jobs.models import Attempt, Job
from workers.contracts import JOBS, ErrorInfo

TRAIN = "train"


def job_request(*, participant_id: str, kind: str, subject: str = "", spec: dict[str, Any] | None = None) -> Job:
    """Request this work of a part. Requesting it again changes nothing. Raises ValueError for an unknown kind."""
    if kind not in JOBS:
        raise ValueError(f"{kind} isn't a kind of job")
    job, _ = Job.objects.get_or_create(
        participant_id=participant_id, kind=kind, subject=subject, defaults={"spec": spec or {}}
    )
    return job


def halves_reopen(participant_ids: Iterable[str]) -> None:
    """Request the parts' halves again, whatever happened to them before."""
    _halves(participant_ids).update(outcome="")


def halves_want(attempts: Mapping[str, int]) -> None:
    """Request this attempt of each part's half. Processes of lower attempts must end."""
    jobs = list(_halves(attempts))
    for job in jobs:
        job.wanted_attempt = attempts[job.participant_id]
    Job.objects.bulk_update(jobs, ["wanted_attempt"])


def halves_gone(participant_ids: Iterable[str]) -> None:
    """Note that no process of the parts' halves is left."""
    _halves(participant_ids).update(ended_at=timezone.now())


def others_drop(participant_ids: Iterable[str]) -> None:
    """End what else than the halves is requested of the parts: what it was about is so no more.

    Their processes may still run: the caller rings the workers, which end them.
    """
    for job in Job.objects.filter(participant_id__in=list(participant_ids), outcome="").exclude(kind=TRAIN):
        job_finish(job, outcome="stopped", is_gone=False)


def _halves(participant_ids: Iterable[str]) -> QuerySet[Job]:
    return Job.objects.filter(participant_id__in=list(participant_ids), kind=TRAIN)


def job_claim(job: Job, *, number: int | None = None, under: int = 0) -> Attempt:
    """A worker has claimed the job and has a process for it from now on.

    A kind that begins without a claim has no number of its own, so it gets the next one: an attempt that was still
    open was lost. `under`: the half's attempt under which the worker reported it.
    """
    now = timezone.now()
    if number is None:
        job.attempts.filter(ended_at__isnull=True).update(ended_at=now)
        number = _newest(job) + 1
    attempt, _ = Attempt.objects.get_or_create(job=job, number=number)
    attempt.started_at, attempt.ended_at, attempt.outcome, attempt.error, attempt.under = now, None, "", None, under
    attempt.save(update_fields=["started_at", "ended_at", "outcome", "error", "under", "updated_at"])
    job.ended_at = None
    job.save(update_fields=["ended_at", "updated_at"])
    return attempt


def job_progress(job: Job, *, number: int, checkpoint_step: int) -> None:
    """The attempt has reported a checkpoint of this step."""
    if number == 0:
        return
    attempt = _attempt(job, number)
    attempt.checkpoint_step = checkpoint_step
    attempt.save(update_fields=["checkpoint_step", "updated_at"])


def job_interrupt(job: Job, *, number: int, outcome: str, error: ErrorInfo | None = None) -> None:
    """The process of an attempt is gone, and the job waits to be claimed again."""
    _attempt_end(job, number, outcome, error, is_gone=True)
    job.ended_at = timezone.now()
    job.save(update_fields=["ended_at", "updated_at"])


def job_finish(
    job: Job,
    *,
    outcome: str,
    number: int | None = None,
    error: ErrorInfo | None = None,
    is_gone: bool = True,
    result: dict[str, Any] | None = None,
) -> None:
    """The job has ended, with its newest attempt unless a number is given. `is_gone`: its process is known to be gone.

    An attempt that has ended keeps its own end: what is said under its number later is about the job, whose next
    attempt has not begun.
    """
    _attempt_end(job, (_newest(job) or 1) if number is None else number, outcome, error, is_gone=is_gone)
    job.outcome, job.result = outcome, result
    if is_gone:
        job.ended_at = timezone.now()
    job.save(update_fields=["outcome", "result", "ended_at", "updated_at"])


def _attempt_end(job: Job, number: int, outcome: str, error: ErrorInfo | None, *, is_gone: bool) -> None:
    attempt = _attempt(job, number) if number else None
    if attempt is None or attempt.ended_at is not None:
        return
    attempt.outcome, attempt.error = outcome, error.model_dump() if error else None
    if is_gone:
        attempt.ended_at = timezone.now()
    attempt.save(update_fields=["outcome", "error", "ended_at", "updated_at"])


def _attempt(job: Job, number: int) -> Attempt:
    """The row of an attempt; a restored hub may see attempts that it no longer has on record."""
    attempt, _ = Attempt.objects.get_or_create(job=job, number=number)
    return attempt


def job_newest(job: Job) -> Attempt | None:
    """The newest attempt at a job, if there was one."""
    return job.attempts.order_by("-number").first()


def _newest(job: Job) -> int:
    newest = job_newest(job)
    return newest.number if newest else 0
