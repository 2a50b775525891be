"""What a worker is to do for a run, and each process that it had for it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webapp.core.models import PublicModel


class Job(PublicModel):
    """One kind of work of one part: every attempt at it hangs here."""

    id_prefix: ClassVar[str] = "job"

    participant = models.ForeignKey("runs.Participant", on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=20)  # of workers.contracts.JOBS

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["participant", "kind"], name="one_job_of_a_kind")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.participant_id}"


class Attempt(PublicModel):
    """One process for a job: what it told of its end, and how far its checkpoints go."""

    id_prefix: ClassVar[str] = "att"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()  # the fence that the worker was given with its claim
    started_at = models.DateTimeField(null=True, blank=True)  # none: it began before attempts were kept
    ended_at = models.DateTimeField(null=True, blank=True)  # when its process was known to be gone
    outcome = models.CharField(max_length=10, blank=True)  # done | failed | stopped; empty: not told yet
    error = models.JSONField(null=True, blank=True)  # workers.contracts.ErrorInfo
    checkpoint_step = models.PositiveIntegerField(null=True, blank=True)  # the newest that it told to hold

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="one_attempt_of_a_number")]

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.job_id}"
