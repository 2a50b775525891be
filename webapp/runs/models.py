"""Runs: configuration, contract, approvals, participants and the state machine's fields."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.utils.functional import cached_property

from webapp.core.models import PublicModel
from workers.contracts import OTHER_CONTRACT

if TYPE_CHECKING:
    from webapp.jobs.models import Job

_TRAIN: str = "train"  # the kind of job that a half is, and under which name a part has it


class RunState(models.TextChoices):
    """Where a run stands. webapp/runs/life/transitions.py holds the allowed moves."""

    DRAFT = "draft", "Draft"
    AWAITING = "awaiting_approval", "Awaiting approval"
    DECLINED = "declined", "Declined"
    APPROVED = "approved", "Approved"
    STARTING = "starting", "Starting"
    TRAINING = "training", "Training"
    RECOVERING = "recovering", "Recovering"
    PAUSED = "paused", "Paused"
    FINISHING = "finishing", "Finishing"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"


class DesiredState(models.TextChoices):
    """What the people want of a run; workers converge to it."""

    NONE = "none", "Not started"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    STOPPED = "stopped", "Stopped"


class Run(PublicModel):
    """One split fine-tuning run. This row is the truth; a message is only a doorbell."""

    id_prefix: ClassVar[str] = "run"

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="runs")
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.PROTECT, related_name="runs")
    created_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    note = models.TextField(blank=True, max_length=4000)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="clones")
    parent_config = models.JSONField(null=True, blank=True)  # the parent's as it was cloned: it may change unseen
    config = models.JSONField(default=dict)  # RunConfig as JSON; of a draft, whatever was typed
    public_prompts = models.JSONField(default=list)  # fixed prompts for samples: public text, never rows
    start_when_approved = models.BooleanField(default=True)
    contract = models.TextField(blank=True)  # canonical JSON, the very bytes that are hashed
    contract_hash = models.CharField(max_length=64, blank=True)
    approved_contract = models.TextField(blank=True)  # the last one that somebody decided on: what a diff compares with
    state = models.CharField(max_length=20, choices=RunState.choices, default=RunState.DRAFT)
    state_since = models.DateTimeField(auto_now_add=True)
    waited_at = models.DateTimeField(null=True, blank=True)  # when a part last waited for its turn or for its site
    desired = models.CharField(max_length=10, choices=DesiredState.choices, default=DesiredState.NONE)
    held_by = models.JSONField(default=list)  # ids of the organisations that paused or stopped it since it last went on
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    training_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    recoveries = models.PositiveIntegerField(default=0)  # how often its parts were started again from a checkpoint
    recoveries_in_vain = models.PositiveIntegerField(default=0)  # of them the last ones, with no new step between them
    recovered_at_step = models.PositiveIntegerField(default=0)  # the run's step at the last of them
    record_count = models.BigIntegerField(default=0)  # the last `seq` handed out for this run's records
    failure = models.JSONField(null=True, blank=True)  # code, message, remedy, organisation, worker, phase, at
    summary = models.JSONField(default=dict)  # losses, bytes, evaluation table: filled as it becomes known
    is_archived = models.BooleanField(default=False)
    draft_version = models.PositiveIntegerField(default=0)  # counts the saves that changed the draft
    draft_edits = models.JSONField(default=dict)  # path → {version, by, by_id, at, tab}: who changed a field last

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class ParticipantRole(models.TextChoices):
    """The part that a worker plays in a run."""

    CLIENT = "client", "Client half"
    SERVER = "server", "Server half"
    EVALUATOR = "evaluator", "Evaluation only"


class ParticipantManager(models.Manager["Participant"]):
    """Reads each part with the job of its half, in the same query."""

    def get_queryset(self) -> models.QuerySet[Participant]:
        """Every part, and its half as `train`."""
        half = models.FilteredRelation("jobs", condition=models.Q(jobs__kind=_TRAIN))
        return super().get_queryset().annotate(**{_TRAIN: half}).select_related(_TRAIN)


def half(**conditions: Any) -> models.Q:
    """A condition on the job of a part's half, for a query of parts: `half(outcome="")`."""
    return models.Q(**{f"{_TRAIN}__{name}": value for name, value in conditions.items()})


class Participant(PublicModel):
    """One worker in one run: its observed state, its fence and its last beat."""

    id_prefix: ClassVar[str] = "prt"
    open_jobs: list[Job]  # where `with_open_jobs` of webapp.jobs.selectors has read them along

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="participants")
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.PROTECT, related_name="+")
    worker = models.ForeignKey("fleet.Worker", on_delete=models.PROTECT, related_name="participations")
    role = models.CharField(max_length=10, choices=ParticipantRole.choices)
    party = models.SlugField(max_length=60)  # the name by which RunConfig and the metrics call it
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="participations"
    )
    receives_adapter = models.BooleanField(default=True)
    attempt = models.PositiveIntegerField(default=0)  # the fence: a message of an older attempt is refused
    phase = models.CharField(max_length=20, default="waiting")  # workers.contracts.Phase
    phase_since = models.DateTimeField(auto_now_add=True)
    phase_before_drop = models.CharField(max_length=20, blank=True)  # while its worker is silent, once it was
    step = models.PositiveIntegerField(default=0)
    address = models.CharField(max_length=120, blank=True)  # of a server half: host:port
    last_beat_at = models.DateTimeField(null=True, blank=True)
    last_seq = models.BigIntegerField(default=0)  # the worker's own sequence, acknowledged so far
    policy_verdict = models.JSONField(
        null=True, blank=True
    )  # {accepted, waiting, refusals: [{field, message}], at, told}
    error = models.JSONField(null=True, blank=True)
    metrics = models.JSONField(default=dict)  # the latest: loss, tokens/s, bytes, compute/send/wait

    objects = ParticipantManager()

    class Meta:
        ordering = ["role", "party"]
        constraints = [
            models.UniqueConstraint(fields=["run", "party"], name="one_party_name"),
            models.UniqueConstraint(fields=["run", "worker", "role"], name="one_part_a_worker"),
        ]

    def __str__(self) -> str:
        return f"{self.party} ({self.get_role_display()})"

    @cached_property
    def train(self) -> Job | None:
        """The job of the part's half, which every read of parts brings along; an evaluator has none."""
        return self.jobs.filter(kind=_TRAIN).first()

    @property
    def outcome(self) -> str:
        """Done, failed or stopped, once the half has ended."""
        return self.train.outcome if self.train else ""

    @property
    def wanted_attempt(self) -> int:
        """The attempt of the half that is wanted: what runs under a lower one is over, or is to end."""
        return self.train.wanted_attempt if self.train else 1

    @property
    def stop_confirmed_at(self) -> datetime | None:
        """When it was known that no process of the half is left."""
        return self.train.ended_at if self.train else None

    @property
    def awaits_claim(self) -> bool:
        """Whether the attempt that is wanted has not been taken up yet."""
        return self.attempt < self.wanted_attempt

    @property
    def waits_for_site(self) -> bool:
        """Whether the worker's own site has still to approve the contract (`approve: local` in its policy)."""
        return bool(self.policy_verdict and self.policy_verdict.get("waiting"))

    @property
    def refuses_contract(self) -> bool:
        """Whether the worker's own policy refuses the contract as it is."""
        return bool(self.policy_verdict and not self.policy_verdict["accepted"] and not self.waits_for_site)

    @property
    def only_lacks_trust(self) -> bool:
        """Whether nothing but a certificate that the site does not trust keeps the worker from accepting."""
        return self.refuses_contract and self._refused_fields == {"participants.fingerprint"}

    @property
    def has_other_contract(self) -> bool:
        """Whether the worker has admitted another contract under the run's id, as before a restore of the hub."""
        return self.refuses_contract and OTHER_CONTRACT in self._refused_fields

    @property
    def _refused_fields(self) -> set[str]:
        return {refusal["field"] for refusal in (self.policy_verdict or {}).get("refusals", [])}


class ApprovalState(models.TextChoices):
    """An organisation's word on a contract."""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    DECLINED = "declined", "Declined"
    VOIDED = "voided", "Voided by a change"


class Approval(PublicModel):
    """One organisation's decision on one contract hash."""

    id_prefix: ClassVar[str] = "apr"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals")
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.PROTECT, related_name="approvals")
    contract_hash = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=ApprovalState.choices, default=ApprovalState.PENDING)
    reason = models.TextField(blank=True, max_length=2000)
    decided_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["run", "organisation", "contract_hash"], name="one_approval_a_contract")
        ]

    def __str__(self) -> str:
        return f"{self.organisation}: {self.get_state_display()}"
