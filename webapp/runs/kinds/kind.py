"""What a kind of job answers at the hub: when a worker is told of it, with what, and what its end does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q

from webapp.jobs.services import job_finish, job_newest
from webapp.runs.fencing import fence_between
from webapp.runs.models import Participant, RunState
from workers.contracts import Desired, Exit, Message, Phase

if TYPE_CHECKING:
    from webapp.jobs.models import Job


@dataclass(frozen=True)
class Offer:
    """What a worker is told of a job now: what is wanted, and the fields of an assignment that are the kind's own."""

    desired: Desired = Desired.RUNNING
    told: dict[str, Any] = field(default_factory=dict)


class HubKind:
    """One kind of job. It is requested by `job_request`, by whoever its file says and under that one's permission.

    The run is locked whenever an end is taken; a worker reaches its own parts' jobs alone.
    """

    name: ClassVar[str]  # of `JOBS` of the contracts
    wanted_in: ClassVar[Collection[RunState]]  # in which states of its run a worker is told of it
    begins_in: ClassVar[Phase | None] = None  # by which phase its process shows that it is there, without a claim

    def listed(self) -> Q:
        """Which parts with an open job of this kind are their worker's business.

        The database leaves out all others: ended runs stay for ever, and a worker asks every few seconds.
        """
        return Q(run__state__in=self.wanted_in)

    def is_due(self, part: Participant) -> bool:
        """Whether the part is to do jobs of this kind now: asked once, before the offer of each of them."""
        return True

    def offer(self, part: Participant, job: Job) -> Offer | None:
        """What the part's worker is told of the job now; None where it is not to be done now."""
        return Offer(told={"subject": job.subject, "spec": job.spec})

    def finish(self, part: Participant, job: Job, told: Message) -> None:
        """Take the end of the job: the job keeps what its kind reports beside it. The part's run is locked.

        Repeating it changes nothing. Raises CL-1503 for an attempt of before, which is one at this job: the half may
        have begun anew meanwhile.
        """
        assert isinstance(told, Exit)
        newest = job_newest(job)
        fence_between(part, told.attempt, least=newest.under if newest else 0)
        if not job.outcome:
            result = self.kept(part, told) if told.outcome == "done" else None
            job_finish(job, outcome=told.outcome, error=told.error, result=result)

    def kept(self, part: Participant, told: Exit) -> dict[str, Any]:
        """What the job keeps of a good end: the fields that its kind reports beside those of every end."""
        return told.model_dump(mode="json", exclude=set(Exit.model_fields))
