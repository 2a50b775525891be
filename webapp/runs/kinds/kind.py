"""What a kind of job answers at the hub: when a worker is told of it, with what, and what its end does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q

from webapp.runs.models import Participant
from workers.contracts import Desired, Message, Phase

if TYPE_CHECKING:
    from webapp.jobs.models import Job


@dataclass(frozen=True)
class Offer:
    """What a worker is told of a job now: what is wanted, and the fields of an assignment that are the kind's own."""

    desired: Desired = Desired.RUNNING
    told: dict[str, Any] = field(default_factory=dict)


class HubKind(ABC):
    """One kind of job. It is requested by `job_request`, by whoever its file says and under that one's permission.

    The run is locked whenever an end is taken; a worker reaches its own parts' jobs alone.
    """

    name: ClassVar[str]  # of `JOBS` of the contracts
    # Which parts with an open job of this kind are this worker's business; the database leaves out all others, since
    # ended runs stay for ever and a worker asks every few seconds.
    listed: ClassVar[Q]
    begins_in: ClassVar[Phase | None] = None  # by which phase its process shows that it is there, without a claim

    @abstractmethod
    def offer(self, part: Participant, job: Job) -> Offer | None:
        """What the part's worker is told of the job now; None where it is not to be done now."""

    @abstractmethod
    def finish(self, part: Participant, job: Job, told: Message) -> None:
        """Take the end of the job, told in the form of `JOBS`. The part's run is locked. Raises AppError."""
