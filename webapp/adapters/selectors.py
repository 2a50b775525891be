"""Reads of artefacts."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import Http404

from webapp.accounts.models import User
from webapp.adapters.models import Adapter
from webapp.orgs.models import Organisation
from webapp.runs.selectors import runs_visible_to


def adapters_visible_to(user: User) -> QuerySet[Adapter]:
    """Adapters of the runs that the person can see; downloading needs more."""
    return Adapter.objects.filter(run__in=runs_visible_to(user)).select_related(
        "run", "run__project", "run__organisation"
    )


def adapter_get_for(*, user: User, adapter_id: str) -> Adapter:
    """One adapter, or 404."""
    adapter = adapters_visible_to(user).filter(pk=adapter_id).first()
    if adapter is None:
        raise Http404("No such adapter.")
    return adapter


def recipient_organisations(adapter: Adapter) -> list[Organisation]:
    """The organisations to which the contract gives this adapter: of a party's own adapter that party alone."""
    parts = adapter.run.participants.filter(receives_adapter=True)
    if adapter.party:
        parts = parts.filter(party=adapter.party)
    return list(Organisation.objects.filter(id__in=parts.values("organisation_id")).order_by("name"))
