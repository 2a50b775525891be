"""Reads of API tokens."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone

from webapp.accounts.models import ApiToken, User
from webapp.orgs.models import Role
from webapp.orgs.selectors import memberships_of


def tokens_visible_to(user: User) -> QuerySet[ApiToken]:
    """One's own tokens in one's organisations; an administrator sees those of every member."""
    mine = memberships_of(user).order_by()
    administered = mine.filter(role=Role.ADMIN)
    return (
        ApiToken.objects.filter(
            Q(user_id=user.pk, organisation_id__in=mine.values("organisation_id"))
            | Q(organisation_id__in=administered.values("organisation_id"))
        )
        .select_related("user", "organisation")
        .order_by("-created_at")
    )


def tokens_live(user: User) -> QuerySet[ApiToken]:
    """A person's tokens that open something now, in every organisation."""
    mine = ApiToken.objects.filter(user_id=user.pk, revoked_at=None, expires_at__gt=timezone.now())
    return mine.select_related("organisation").order_by("-created_at")


def token_get_for(*, user: User, token_id: str) -> ApiToken:
    """A visible token, else 404."""
    token = tokens_visible_to(user).filter(id=token_id).first()
    if token is None:
        raise Http404
    return token
