"""Organisations, their members and the invitations that make both grow."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from webapp.core.models import PublicModel


class PartyKind(models.TextChoices):
    """What an organisation (or a worker) brings."""

    DATA = "data", "Data"
    COMPUTE = "compute", "Compute"
    BOTH = "both", "Data and compute"


class Role(models.TextChoices):
    """The fixed roles; webapp/orgs/permissions.py holds the matrix of what each may do."""

    ADMIN = "admin", "Organisation admin"
    STEWARD = "steward", "Data steward"
    ENGINEER = "engineer", "ML engineer"
    OPERATOR = "operator", "Compute operator"
    AUDITOR = "auditor", "Auditor / DPO"
    VIEWER = "viewer", "Viewer"


class Organisation(PublicModel):
    """A tenant."""

    id_prefix: ClassVar[str] = "org"

    name = models.CharField(max_length=120, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=8, choices=PartyKind.choices, default=PartyKind.DATA)
    contact_email = models.EmailField(blank=True)
    dpo_email = models.EmailField(blank=True)
    require_second_factor = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    members = models.ManyToManyField("accounts.User", through="Membership", related_name="organisations")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(PublicModel):
    """A person's role in an organisation."""

    id_prefix: ClassVar[str] = "mem"

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "organisation"], name="one_membership")]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"


class InvitationState(models.TextChoices):
    """The life of an invitation."""

    PENDING = "pending", "Pending"
    ACCEPTED = "accepted", "Accepted"
    DECLINED = "declined", "Declined"
    REVOKED = "revoked", "Revoked"
    SUPERSEDED = "superseded", "Superseded"


class Invitation(PublicModel):
    """Of a person to an organisation (role), or of an organisation to a project (party kind).

    The token is in the link alone; its hash is here. Expired is a pending one whose `expires_at` has passed.
    """

    id_prefix: ClassVar[str] = "inv"

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="invitations")
    project = models.ForeignKey(
        "projects.Project", null=True, blank=True, on_delete=models.CASCADE, related_name="invitations"
    )
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role.choices, blank=True)
    party_kind = models.CharField(max_length=8, choices=PartyKind.choices, blank=True)
    message = models.TextField(blank=True, max_length=2000)
    token_hash = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=12, choices=InvitationState.choices, default=InvitationState.PENDING)
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decline_reason = models.TextField(blank=True, max_length=2000)
    created_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    accepted_organisation = models.ForeignKey(
        Organisation, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    mailed_at = models.DateTimeField(null=True, blank=True)  # when the mail server took the e-mail

    def __str__(self) -> str:
        return f"{self.email} → {self.project or self.organisation}"

    @property
    def is_open(self) -> bool:
        """Whether it can still be answered."""
        return self.state == InvitationState.PENDING and self.expires_at > timezone.now()

    @property
    def shown_state(self) -> str:
        """The state that people see: a pending one that ran out is expired."""
        return "expired" if self.state == InvitationState.PENDING and not self.is_open else self.state
