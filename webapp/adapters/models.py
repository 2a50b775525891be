"""Artefacts: the segments that workers upload, and the one adapter that comes of them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webapp.core.models import PublicModel


class Segment(PublicModel):
    """The adapter of one party's segments, uploaded at the end (safetensors, checked)."""

    id_prefix: ClassVar[str] = "seg"

    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="segments")
    participant = models.ForeignKey("runs.Participant", on_delete=models.CASCADE, related_name="segments")
    attempt = models.PositiveIntegerField()
    name = models.CharField(max_length=20)  # head | body | tail
    path = models.CharField(max_length=400)  # below MEDIA_ROOT
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["participant", "name"], name="one_segment_name")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.name}"


class AdapterState(models.TextChoices):
    """The life of an adapter."""

    COLLECTING = "collecting", "Collecting segments"
    JOINED = "joined", "Joined, not yet verified"
    READY = "ready", "Verified"
    FAILED = "failed", "Failed its checks"
    UNVERIFIED = "unverified", "Not verified"  # the run has ended, and nobody has loaded it


class Adapter(PublicModel):
    """A standard PEFT adapter, joined from the segments and verified by a recipient's worker.

    Where the data parties keep ends of their own there is one for each (`party`); else one for the run (`party` empty).
    """

    id_prefix: ClassVar[str] = "adp"

    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="adapters")
    party = models.SlugField(max_length=60, blank=True)
    state = models.CharField(max_length=12, choices=AdapterState.choices, default=AdapterState.COLLECTING)
    folder = models.CharField(max_length=400, blank=True)  # the PEFT folder below MEDIA_ROOT
    archive = models.CharField(max_length=400, blank=True)  # the zip below MEDIA_ROOT
    sha256 = models.CharField(max_length=64, blank=True)  # of the zip
    bytes = models.BigIntegerField(default=0)
    checks = models.JSONField(default=list)  # list of workers.contracts.Check
    evaluation = models.JSONField(default=dict)  # party → workers.contracts.EvaluationResult
    reports = models.JSONField(default=dict)  # participant id → {party, checks, error, at}: who has loaded it
    provenance = models.JSONField(default=dict)  # hashes of what it was joined from
    verified_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "party"], name="one_adapter_a_party")]

    def __str__(self) -> str:
        return f"Adapter of {self.run}"
