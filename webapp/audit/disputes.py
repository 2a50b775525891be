"""Workers that were shown another end of the chain: what they report, and who is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.utils import timezone

from webapp.audit.models import ChainDispute
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from workers.contracts import ChainLoss, WitnessReport

if TYPE_CHECKING:
    from webapp.fleet.models import Worker
    from webapp.orgs.models import Organisation

_GONE = ("revoked", "left")  # such a worker can't accept the chain any more


@service
def witness_report(*, worker: Worker, report: WitnessReport) -> None:
    """Keep what a worker reports of the chain, or that its people accept it now; the same again changes nothing."""
    known = ChainDispute.objects.select_for_update(no_key=True).filter(worker=worker).first()
    is_open = known is not None and known.accepted_at is None
    if report.loss is None:
        if known is not None and is_open:
            known.accepted_at = timezone.now()
            known.save(update_fields=["accepted_at"])
            _record(worker, "worker.chain_accepted", known.kept_sequence, known.shown_sequence, known.kind)
        return
    fields = _fields(report.loss)
    if known is not None and is_open and all(getattr(known, name) == value for name, value in fields.items()):
        return
    told = {**fields, "reported_at": timezone.now(), "accepted_at": None}
    ChainDispute.objects.update_or_create(worker=worker, defaults=told)
    loss = report.loss
    _record(worker, "worker.chain_disputed", loss.kept.sequence, loss.shown.sequence, loss.kind, loss.kept.head)


def disputes_of(organisation: Organisation) -> QuerySet[ChainDispute]:
    """What an organisation's own workers report, and nobody there has accepted."""
    return _open().filter(worker__organisation=organisation).select_related("worker").order_by("worker__name")


def disputed_elsewhere(organisation: Organisation) -> bool:
    """Whether any worker of another organisation reports the like: the log is one for all, so this much is told."""
    return _open().exclude(worker__organisation=organisation).exists()


def _open() -> QuerySet[ChainDispute]:
    return ChainDispute.objects.filter(accepted_at=None).exclude(worker__state__in=_GONE)


def _fields(loss: ChainLoss) -> dict[str, str | int]:
    ends = {"kept": loss.kept, "shown": loss.shown}
    return {
        "kind": loss.kind,
        **{f"{which}_{name}": value for which, end in ends.items() for name, value in end.model_dump().items()},
    }


def _record(worker: Worker, action: str, kept: int, shown: int, kind: str, kept_head: str = "") -> None:
    audit_record(
        actor=worker,
        action=action,
        organisation_id=worker.organisation_id,
        object_id=worker.id,
        details={"kind": kind, "kept": kept, "kept_head": kept_head, "shown": shown},
    )
