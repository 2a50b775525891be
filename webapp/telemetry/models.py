"""What workers report of a run: numbered, typed, stored once."""

from __future__ import annotations

from django.db import models


class Record(models.Model):
    """One metric, phase, event, evaluation or log line of a run.

    `seq` numbers a run's records without gaps: what browsers ask for with `since`. A worker's record is stored once
    for (participant, worker_seq), however often it is sent.
    """

    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="records")
    seq = models.BigIntegerField()
    participant = models.ForeignKey(
        "runs.Participant", null=True, blank=True, on_delete=models.CASCADE, related_name="records"
    )  # none: the hub's own
    worker_seq = models.BigIntegerField(null=True, blank=True)
    kind = models.CharField(max_length=12)  # workers.contracts.RecordKind
    step = models.PositiveIntegerField(null=True, blank=True)
    payload = models.JSONField(default=dict)
    at = models.DateTimeField()
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["run_id", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["run", "seq"], name="one_record_a_seq"),
            models.UniqueConstraint(fields=["participant", "worker_seq"], name="one_record_a_worker_seq"),
        ]
        # A part's newest records of a kind, however many others the run has.
        indexes = [models.Index(fields=["participant", "kind", "seq"], name="records_of_a_kind")]

    def __str__(self) -> str:
        return f"{self.run_id} #{self.seq} {self.kind}"
