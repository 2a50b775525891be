"""What happens to a person's account, in the audit log of each organisation to which the person belongs."""

from __future__ import annotations

from typing import Any

from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from webapp.orgs.models import Membership


@service
def account_record(*, actor: User | None, user: User, action: str, details: dict[str, Any]) -> None:
    """Append an entry about the account; `actor` None where nobody can tell who it was.

    Whoever takes an account over acts for its organisations: their auditors read of it. Without one, it is the hub's.
    """
    memberships = Membership.objects.filter(user_id=user.pk, is_active=True).order_by("organisation_id")
    for organisation_id in list(memberships.values_list("organisation_id", flat=True)) or [""]:
        audit_record(
            actor=actor,
            action=action,
            organisation_id=organisation_id,
            object_id=user.pk,
            details={"person": user.email, **details},
        )
