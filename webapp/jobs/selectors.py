"""What is known of the attempts at a run's jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from webapp.jobs.models import Attempt
from webapp.jobs.services import TRAIN


def attempts_of(participant_ids: Iterable[str], *, kind: str = TRAIN) -> dict[str, list[Attempt]]:
    """Every attempt of these parts at a kind of job, the oldest first."""
    rows = Attempt.objects.filter(job__participant_id__in=list(participant_ids), job__kind=kind).select_related("job")
    found: dict[str, list[Attempt]] = defaultdict(list)
    for row in rows.order_by("number"):
        found[row.job.participant_id].append(row)
    return found


def checkpoint_steps(participant_ids: Iterable[str]) -> dict[str, int]:
    """The step of the newest checkpoint that each part was last told to hold, whichever attempt saved it."""
    told = Attempt.objects.filter(
        job__participant_id__in=list(participant_ids), job__kind=TRAIN, checkpoint_step__isnull=False
    )
    rows = told.order_by("number").values_list("job__participant_id", "checkpoint_step")
    return {participant_id: step or 0 for participant_id, step in rows}  # the highest number comes last
