"""Writing the audit log: each entry's hash covers the entry and the hash before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.utils import timezone

from splitcore.audit_export import COLUMNS
from splitcore.audit_export import entry_hash as hash_of
from webapp.audit.models import AuditEntry
from webapp.core.transactions import at_the_end

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.fleet.models import Worker

FIRST_HASH = "0" * 64
_CHAIN_LOCK = 0x0C07_1A7E  # any constant: names the advisory lock of the chain


def audit_record(
    *,
    actor: User | Worker | None,
    action: str,
    organisation_id: str = "",
    project_id: str = "",
    object_id: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry at the end of the caller's service; `actor` None is the hub itself.

    `details` is JSON-able and holds neither secrets nor anything of a dataset's rows. The entry gets its place in the
    chain, and its hash, last of all: whoever holds the chain's lock waits for nobody.
    """
    kind, actor_id, label = describe_actor(actor)
    entry = AuditEntry(
        actor_kind=kind,
        actor_id=actor_id,
        actor_label=label,
        organisation_id=organisation_id,
        project_id=project_id,
        action=action,
        object_id=object_id,
        # What is hashed must be what is read back: JSON turns tuples into lists and enums into texts.
        details=json.loads(json.dumps(details or {}, default=str)),
    )
    at_the_end(lambda: _append(entry))
    return entry


def _append(entry: AuditEntry) -> None:
    """Give an entry the next place in the chain and store it."""
    _lock_chain()
    last = AuditEntry.objects.order_by("-sequence").first()
    entry.sequence, entry.previous_hash = (last.sequence + 1, last.hash) if last else (1, FIRST_HASH)
    entry.at = timezone.now()
    entry.hash = entry_hash(entry)
    entry.save(force_insert=True)


def entry_hash(entry: AuditEntry) -> str:
    """The hash of an entry as it stands, which covers the hash before it."""
    return hash_of({**{name: getattr(entry, name) for name in COLUMNS}, "at": entry.at.isoformat()})


def describe_actor(actor: User | Worker | None) -> tuple[str, str, str]:
    """Kind, id and label of who acted."""
    if actor is None:
        return "hub", "", "Hub"
    if actor.id_prefix == "wrk":
        return "worker", actor.pk, str(actor)
    return "user", actor.pk, str(actor)


def _lock_chain() -> None:
    """One writer at a time: SQLite's IMMEDIATE transactions see to it themselves."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
