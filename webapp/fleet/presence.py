"""What a worker says about itself: its hello, its beats and when it is gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from webapp.core.live import notify_org
from webapp.datasets.held import versions_held, versions_untold
from webapp.datasets.spent import spending_told
from webapp.fleet.models import Worker
from webapp.fleet.signing import ENROLLED
from webapp.runs import lifecycle
from workers.contracts import HELD_SINCE, Beat, Hello, WorkerFacts


def facts_stored(facts: WorkerFacts) -> dict[str, Any]:
    """Hardware facts as the database keeps them: of a GPU's entry what the worker said, and nothing else."""
    gpus = [gpu.model_dump(mode="json", exclude_unset=True) for gpu in facts.gpus]
    return facts.model_dump(mode="json") | {"gpus": gpus}


def console_url_stored(url: str) -> str:
    """The address of a worker's own page, if it is one that a link may have: people will click on it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname else ""


def is_online(*, last_beat_at: datetime | None, connected_at: datetime | None, now: datetime | None = None) -> bool:
    """Whether a worker is connected and was heard within the last three beats, by the hub's clock alone."""
    if last_beat_at is None or connected_at is None:
        return False
    return (now or timezone.now()) - last_beat_at <= timedelta(seconds=3 * settings.WORKER_BEAT_SECONDS)


def worker_is_online(worker: Worker, now: datetime | None = None) -> bool:
    """Whether this worker is online, as every page and count means it."""
    return is_online(last_beat_at=worker.last_beat_at, connected_at=worker.connected_at, now=now)


@dataclass(frozen=True)
class Standing:
    """Where a control connection stands: the time that names it, and whether a later one was opened beside it."""

    connection: datetime
    overtaken: bool


def worker_connected(*, worker: Worker, protocol: int | None = None) -> datetime | None:
    """Note the opening of a control socket; the returned time names this connection. None where it is to be closed.

    protocol: the newest version that the worker reads, where its opening told.
    """
    now = timezone.now()
    told = {} if protocol is None else {"protocol": protocol}
    with transaction.atomic():
        if not _admitted(worker).update(connected_at=now, last_beat_at=now, **told):
            return None
        notify_org(worker.organisation_id, "worker", worker.id)
    return now


def worker_disconnected(*, worker: Worker, connection: datetime) -> None:
    """Note that a control socket closed, unless the worker has opened another one since."""
    with transaction.atomic():
        if Worker.objects.filter(pk=worker.pk, connected_at=connection).update(connected_at=None):
            notify_org(worker.organisation_id, "worker", worker.id)


def _admitted(worker: Worker) -> QuerySet[Worker]:
    """The worker's row, as long as the hub lets it in and its key is the one that `worker` was loaded with."""
    return Worker.objects.filter(pk=worker.pk, fingerprint=worker.fingerprint, state__in=ENROLLED)


def message_take(*, worker: Worker, connection: datetime | None, message: Hello | Beat) -> Standing | None:
    """Take in what came on a connection; None where it is to be closed.

    The doorbell that closes the socket of a revoked worker, or of an old key, may be lost: each message looks.
    """
    row = _presence_row(worker)
    if row is None:
        return None
    if row.connected_at is None:  # the later connection of a copy has closed, and this one goes on
        connection = worker_connected(worker=worker)
    if connection is None:
        return None
    overtaken = row.connected_at not in (None, connection)
    if isinstance(message, Beat):
        admitted = beat_record(worker=worker, beat=message, row=row) is not None
    else:  # of an overtaken connection it is dropped: the newest connection's hello stands
        admitted = overtaken or hello_record(worker=worker, hello=message)
    return Standing(connection, overtaken) if admitted else None


def _presence_row(worker: Worker) -> Worker | None:
    """What a message needs of the worker's row, as long as the worker is let in."""
    return _admitted(worker).only("fingerprint", "organisation_id", "connected_at", "lanes").first()


def hello_record(*, worker: Worker, hello: Hello) -> bool:
    """Keep the facts, the doctor's results, the policy's summary, which datasets the worker holds and what they spent.

    False, and nothing is kept, where the worker is not let in any more.
    """
    with transaction.atomic():
        kept = _admitted(worker).update(
            facts=facts_stored(hello.facts),
            checks=[check.model_dump(mode="json") for check in hello.checks],
            policy=hello.policy.model_dump(mode="json"),
            console_url=console_url_stored(hello.console_url),
            version=hello.facts.cutlayer,
            last_beat_at=timezone.now(),
            updated_at=timezone.now(),
        )
        if not kept:
            return False
        notify_org(worker.organisation_id, "worker", worker.id)
    if hello.held is not None:
        versions_held(worker=worker, digests=hello.held, held=hello.held_versions)
    elif hello.protocol >= HELD_SINCE:  # an older worker, or one that does not know the hub's version yet, tells none
        versions_untold(worker=worker)
    if hello.spent is not None:
        spending_told(worker=worker, spent=hello.spent)
    return True


def beat_record(*, worker: Worker, beat: Beat, row: Worker | None = None) -> Worker | None:
    """Note a beat and what each lane does; returns the worker's row as it was, None when it is not let in any more.

    One update for the worker; the lanes' rows are the runs' business, and come first: a run is locked before a worker.
    An organisation's browsers are told only when the set of lanes changes: they count the seconds since the last beat
    themselves.
    """
    row = row or _presence_row(worker)
    if row is None:
        return None
    lanes = [lane.model_dump(mode="json", exclude_unset=True) for lane in beat.lanes]
    changed = [lane.get("run_id") for lane in lanes] != [lane.get("run_id") for lane in row.lanes]
    if lanes:
        lifecycle.participant_beat(worker=row, lanes=lanes)
    with transaction.atomic():
        if not _admitted(worker).update(last_beat_at=timezone.now(), lanes=lanes):
            return None
        if changed:
            notify_org(row.organisation_id, "worker", row.id)
    return row
