"""The hash-chained audit log."""

from __future__ import annotations

from django.db import models


class AuditEntry(models.Model):
    """One privileged action. `hash` covers the entry and the previous hash, so a changed row breaks the chain."""

    sequence = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=12)  # user | worker | hub
    actor_id = models.CharField(max_length=32, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    organisation_id = models.CharField(max_length=32, blank=True, db_index=True)
    project_id = models.CharField(max_length=32, blank=True, db_index=True)
    action = models.CharField(max_length=60)  # past tense: run.approved
    object_id = models.CharField(max_length=64, blank=True, db_index=True)
    details = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["sequence"]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"

    @property
    def phrase(self) -> str:
        """The action in words: "run approved"."""
        return self.action.replace(".", " ").replace("_", " ")


class Restoration(models.Model):
    """The hub was restored from a backup: its chain went back to this entry, and a new epoch began."""

    number = models.BigAutoField(primary_key=True)
    epoch = models.CharField(max_length=32, unique=True)
    at = models.DateTimeField(auto_now_add=True)
    sequence = models.BigIntegerField()
    head = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return self.epoch


class ChainDispute(models.Model):
    """A worker was shown another end of the chain than later: what it last reported, and until when that stood."""

    worker = models.OneToOneField("fleet.Worker", on_delete=models.CASCADE, related_name="chain_dispute")
    kind = models.CharField(max_length=12)  # workers.contracts.ChainLoss
    kept_epoch = models.CharField(max_length=120, blank=True)
    kept_sequence = models.BigIntegerField()
    kept_head = models.CharField(max_length=64, blank=True)
    shown_epoch = models.CharField(max_length=120, blank=True)
    shown_sequence = models.BigIntegerField()
    shown_head = models.CharField(max_length=64, blank=True)
    reported_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.worker_id} {self.kind}"

    @property
    def holds(self) -> bool:
        """Whether the chain has the entry that the worker was shown, unchanged."""
        kept = AuditEntry.objects.filter(sequence=self.kept_sequence, hash=self.kept_head)
        return self.kept_sequence == 0 or kept.exists()

    @property
    def shown_then(self) -> str:
        """What the worker was shown later, as the rest of a sentence."""
        if self.kind == "restored":
            return f"and later a hub restored from a backup, ending at entry {self.shown_sequence}."
        if self.kind == "hidden":
            return "and later a log with no end."
        if self.kind == "rewritten":
            return "and later a different hash for it."
        return f"and later a log ending at entry {self.shown_sequence}."
