"""Upload tickets: the hub's word to a worker's console that a person may add a dataset there.

A ticket is `base64url(claims).base64url(signature)` without padding; the signature (Ed25519) covers the first part as
it stands. It travels in the fragment of a link, so that no server or referrer sees it; the console swaps it once.
"""

from __future__ import annotations

import base64
import json
import secrets
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from webapp.fleet.hub_key import hub_sign
from webapp.fleet.models import Worker
from webapp.orgs.permissions import Action, require


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@service
def upload_ticket_issue(*, actor: User, worker: Worker) -> str:
    """A ticket for `actor` to add datasets on `worker`: ten minutes, once, nothing else."""
    require(actor, Action.ADD_DATASET, worker.organisation)
    expires_at = timezone.now() + timedelta(minutes=settings.UPLOAD_TICKET_MINUTES)
    claims = {
        "action": "add",
        "user": actor.id,
        "name": str(actor),
        "org": worker.organisation_id,
        "worker_id": worker.id,
        "exp": int(expires_at.timestamp()),
        "jti": secrets.token_hex(16),
    }
    body = _base64url(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())
    audit_record(
        actor=actor,
        action="dataset.upload_ticket_issued",
        organisation_id=worker.organisation_id,
        object_id=worker.id,
        details={"jti": claims["jti"]},
    )
    return f"{body}.{_base64url(hub_sign(body.encode()))}"
