"""What a hub that was just restored does before it serves: it says so, and closes what it can't vouch for."""

from __future__ import annotations

from django.contrib.sessions.models import Session
from django.utils import timezone

from webapp.audit.services import audit_record
from webapp.audit.witness import restoration_record
from webapp.backups.archive import Manifest
from webapp.core.transactions import service
from webapp.fleet.models import EnrolmentToken
from webapp.runs.lifecycle.restoring import runs_after_restore
from workers.contracts import ChainHead


def after_restore(manifest: Manifest, lost: ChainHead | None) -> int:
    """Note the restore where workers and auditors see it, end all sessions and enrolment tokens, wake the runs.

    Returns how many runs are open. A token that was used after the backup would be good a second time.

    `lost` is where the replaced hub's chain ended, as far as it could still be read.
    """
    _note(manifest, lost)
    return runs_after_restore()


@service
def _note(manifest: Manifest, lost: ChainHead | None) -> None:
    Session.objects.all().delete()
    EnrolmentToken.objects.filter(used_at=None, revoked_at=None).update(revoked_at=timezone.now())
    restoration_record(sequence=manifest.sequence, head=manifest.head)
    audit_record(
        actor=None,
        action="hub.restored",
        details={
            "made_at": manifest.made_at,
            "sequence": manifest.sequence,
            "head": manifest.head,
            "lost_sequence": lost.sequence if lost else None,
            "lost_head": lost.head if lost else None,
        },
    )
