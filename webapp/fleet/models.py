"""Workers: enrolment, presence and what each has reported about itself."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from webapp.core.models import PublicModel
from webapp.fleet.model_config import model_config_problem
from webapp.orgs.models import PartyKind


class EnrolmentToken(PublicModel):
    """A single-use token with which one worker joins. Only its hash is stored."""

    id_prefix: ClassVar[str] = "enr"

    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE, related_name="enrolment_tokens")
    created_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    worker_name = models.CharField(max_length=60)
    kind = models.CharField(max_length=8, choices=PartyKind.choices)
    labels = models.JSONField(default=list)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    worker = models.OneToOneField("Worker", null=True, blank=True, on_delete=models.CASCADE, related_name="enrolment")

    def __str__(self) -> str:
        return self.worker_name


class WorkerState(models.TextChoices):
    """Whether the hub lets a worker act."""

    PENDING = "pending", "Waiting for confirmation"
    ACTIVE = "active", "Active"
    QUARANTINED = "quarantined", "Quarantined"
    REVOKED = "revoked", "Revoked"
    LEFT = "left", "Left"


class Worker(PublicModel):
    """One installation at a site. The certificate is public; the key never left the site."""

    id_prefix: ClassVar[str] = "wrk"

    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE, related_name="workers")
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=8, choices=PartyKind.choices)
    labels = models.JSONField(default=list)
    state = models.CharField(max_length=12, choices=WorkerState.choices, default=WorkerState.PENDING)
    certificate_pem = models.TextField()
    fingerprint = models.CharField(max_length=64, unique=True)  # SHA-256 of the certificate's DER, hex
    version = models.CharField(max_length=40, blank=True)
    # the newest version of the worker protocol that it reads, as its last connection told; 0: it never connected
    protocol = models.PositiveIntegerField(default=0)
    console_url = models.URLField(blank=True)
    facts = models.JSONField(default=dict)  # hardware, versions, port range: workers.contracts.WorkerFacts
    checks = models.JSONField(default=list)  # doctor's results: list of workers.contracts.Check
    policy = models.JSONField(default=dict)  # the site policy's summary, as the worker tells it
    lanes = models.JSONField(default=list)  # what it is busy with: list of run ids
    last_beat_at = models.DateTimeField(null=True, blank=True)
    connected_at = models.DateTimeField(null=True, blank=True)
    copied_at = models.DateTimeField(null=True, blank=True)  # when two connections of its key last spoke at once
    confirmed_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        # A worker that is gone keeps its row and its name in the history; another may bear the name.
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "name"],
                name="one_worker_name",
                condition=~models.Q(state__in=["revoked", "left"]),
            )
        ]

    def __str__(self) -> str:
        return self.name


class WorkerModel(PublicModel):
    """A base model that a worker has mapped to a folder of its own and verified."""

    id_prefix: ClassVar[str] = "wmd"

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="models")
    model_id = models.CharField(max_length=400)
    revision = models.CharField(max_length=100, blank=True)
    manifest_hash = models.CharField(max_length=64)
    config = models.JSONField(default=dict)  # the model's config.json
    shape = models.JSONField(null=True, default=None)  # its layout as the worker measured it: the planner's ModelShape
    parameters = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["worker", "model_id", "manifest_hash"], name="one_worker_model")]

    def __str__(self) -> str:
        return self.model_id

    @property
    def planned_config(self) -> dict[str, Any]:
        """The configuration, as far as it can be planned with: an empty one where an older hub took any."""
        return {} if model_config_problem(self.config) else self.config


class SpentNonce(models.Model):
    """A nonce of a signed worker request, kept until its time window has passed: a replay is refused."""

    worker_id = models.CharField(max_length=32)
    nonce = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["worker_id", "nonce"], name="one_nonce")]

    def __str__(self) -> str:
        return self.nonce
