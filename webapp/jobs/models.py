"""What a worker is to do for a run, and each process that it had for it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webapp.core.models import PublicModel


class Job(PublicModel):
    """One piece of work of one part, from its request to its end: every attempt at it hangs here."""

    id_prefix: ClassVar[str] = "job"

    participant = models.ForeignKey("runs.Participant", on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=20)  # of workers.contracts.JOBS
    subject = models.CharField(max_length=32, blank=True)  # what it is about, where a part has several of a kind
    spec = models.JSONField(default=dict)  # what it was asked with, where the kind keeps that nowhere else
    wanted_attempt = models.PositiveIntegerField(default=1)  # of a half: a lower one's process is over, or is to end
    outcome = models.CharField(max_length=10, blank=True)  # done | failed | stopped; empty: it is open
    ended_at = models.DateTimeField(null=True, blank=True)  # of a half: since when no process is left; else its end
    result = models.JSONField(null=True, blank=True)  # what its end reported, where the kind keeps that nowhere else

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
    """One process for a job: what it told of its end, and how far its checkpoints go."""

    id_prefix: ClassVar[str] = "att"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()  # of a half, the fence that the worker was given with its claim
    under = models.PositiveIntegerField(default=0)  # of a later kind: the half's attempt as whose part it began
    started_at = models.DateTimeField(null=True, blank=True)  # none: nothing was told of it before its end
    ended_at = models.DateTimeField(null=True, blank=True)  # when its process was known to be gone
    outcome = models.CharField(max_length=10, blank=True)  # done | failed | stopped; empty: not told
    error = models.JSONField(null=True, blank=True)  # workers.contracts.ErrorInfo
    checkpoint_step = models.PositiveIntegerField(null=True, blank=True)  # the newest that it told to hold

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="one_attempt_of_a_number")]

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.job_id}"
