"""Reads of a run's records: in order, filtered by what the reader's organisation may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Q, QuerySet

from webapp.orgs.selectors import organisation_ids_of
from webapp.runs.models import Participant, Run
from webapp.telemetry.models import Record

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from webapp.accounts.models import User

PAGE = 500


@dataclass(frozen=True)
class RecordPage:
    """Some records in order. `through` is the last number covered, `last` the run's newest one."""

    records: list[dict[str, Any]]
    since: int
    through: int
    last: int


def records_visible_to(user: User | AnonymousUser, run: Run) -> QuerySet[Record]:
    """A run's records for a person who may see the run: everything but the log lines of other organisations."""
    own = Q(participant__isnull=True) | Q(participant__organisation_id__in=organisation_ids_of(user))
    return Record.objects.filter(Q(run=run) & (~Q(kind="log") | own)).order_by("seq")


def parties_of(run: Run) -> dict[str, Participant]:
    """The participants by id."""
    return {part.id: part for part in run.participants.select_related("organisation", "worker")}


def seconds_since_start(run: Run, moment: datetime) -> float | None:
    """Seconds from the run's start to `moment`, not below zero; None before a start."""
    return None if run.started_at is None else max(0.0, round((moment - run.started_at).total_seconds(), 3))


def record_json(*, record: Record, run: Run, parties: dict[str, Participant]) -> dict[str, Any]:
    """A record as pages and API show it."""
    part = parties.get(record.participant_id or "")
    return {
        "seq": record.seq,
        "kind": record.kind,
        "party": part.party if part else "",
        "organisation_id": part.organisation_id if part else "",
        "organisation": part.organisation.name if part else "",
        "step": record.step,
        "at": record.at.isoformat(),
        "seconds": seconds_since_start(run, record.at),
        "payload": record.payload,
    }


def records_page(*, user: User, run: Run, since: int, limit: int = PAGE) -> RecordPage:
    """The next records after `since`.

    The last number is read first: what is stored while this reads is left for the next page, never skipped.
    """
    last = Run.objects.values_list("record_count", flat=True).get(pk=run.pk)
    limit = max(1, min(limit, PAGE))
    rows = list(records_visible_to(user, run).filter(seq__gt=since, seq__lte=last)[:limit])
    parties = parties_of(run)
    through = rows[-1].seq if len(rows) == limit else max(since, last)
    records = [record_json(record=row, run=run, parties=parties) for row in rows]
    return RecordPage(records=records, since=since, through=through, last=last)


def base_answers(run: Run) -> dict[str, str]:
    """The base model's answer to each public prompt: told once, before the first step of a run's first attempt."""
    told = samples_of(run).filter(step=0).first()
    return dict(zip(told.payload["prompts"], told.payload.get("base") or [], strict=False)) if told else {}


def samples_of(run: Run) -> QuerySet[Record]:
    """Answers to the public prompts, in order; by the index of a part's records, however many others there are."""
    return Record.objects.filter(participant__in=run.participants.values("id"), kind="sample").order_by("seq")
