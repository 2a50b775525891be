"""The jobs that workers do for a run, and every process started for them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webapp.core.models import PublicModel


class Job(PublicModel):
    """One part's piece of work, from request to end, with every attempt at it."""

    id_prefix: ClassVar[str] = "job"

    participant = models.ForeignKey("runs.Participant", on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=20)  # of workers.contracts.JOBS
    subject = models.CharField(max_length=32, blank=True)  # tells jobs of one kind apart
    spec = models.JSONField(default=dict)  # its parameters, if the kind stores them nowhere else
    wanted_attempt = models.PositiveIntegerField(default=1)  # of a half: processes of lower ones must end
    outcome = models.CharField(max_length=10, blank=True)  # done | failed | stopped; empty: open
    ended_at = models.DateTimeField(
        null=True, blank=True
    )  # of a half: since when no process is left; otherwise its end
    result = models.JSONField(null=True, blank=True)  # its reported result, if the kind stores it nowhere else

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "kind", "subject"], name="one_job_of_a_subject"),
            models.UniqueConstraint(
                fields=["participant"], condition=models.Q(kind="train"), name="one_half_of_a_part"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.participant_id}"


class Attempt(PublicModel):
    """One process for a job: its reported end, and its newest checkpoint."""

    id_prefix: ClassVar[str] = "att"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()  # of a half: the fence issued with the worker's claim
    under = models.PositiveIntegerField(default=0)  # of a later kind: the half's attempt under which it began
    started_at = models.DateTimeField(null=True, blank=True)  # none: nothing was reported before its end
    ended_at = models.DateTimeField(null=True, blank=True)  # when its process was known to be gone
    outcome = models.CharField(max_length=10, blank=True)  # done | failed | stopped; empty: not reported
    error = models.JSONField(null=True, blank=True)  # workers.contracts.ErrorInfo
    checkpoint_step = models.PositiveIntegerField(null=True, blank=True)  # the newest it reported

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="one_attempt_of_a_number")]

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.job_id}"
