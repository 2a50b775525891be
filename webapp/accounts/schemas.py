"""What the REST operations of accounts take and give."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema

from webapp.accounts.models import ApiToken


class PersonOut(Schema):
    """The person behind the token."""

    id: str
    name: str
    email: str


class MeOut(Schema):
    """Who the token acts as, for whom, and what it may do."""

    user: PersonOut
    organisation: str
    organisation_name: str
    role: str
    scopes: list[str]
    expires_at: datetime | None


class TokenOut(Schema):
    """A token without its secret."""

    id: str
    name: str
    hint: str
    owner: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: ApiToken) -> TokenOut:
        """The schema of a token."""
        return cls(
            id=token.pk,
            name=token.name,
            hint=token.hint,
            owner=token.user.email,
            scopes=token.scopes,
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            revoked_at=token.revoked_at,
        )
