"""`manage.py demo_seed`: three organisations with a user each and one project, made by the hub's own services."""

from __future__ import annotations

import json
import secrets
from typing import Any

from allauth.account.models import EmailAddress
from django.core.management.base import BaseCommand, CommandError

from webapp.accounts.models import User
from webapp.accounts.scopes import Scope
from webapp.accounts.services import token_create
from webapp.core.transactions import service
from webapp.fleet.enrolment import enrolment_token_create
from webapp.orgs.invitations import invitation_accept_partner, invite_partner
from webapp.orgs.models import Organisation
from webapp.orgs.services import organisation_create
from webapp.projects.services import project_create

# key, organisation, kind, person, worker
_PARTIES = (
    ("clinic", "Lakeside Clinic", "data", "Amara Lindqvist", "clinic-worker"),
    ("bank", "Northbank Savings", "data", "Jonas Ferreira", "bank-worker"),
    ("compute", "Fjord Compute", "compute", "Mei Halvorsen", "gpu-worker"),
)


class Command(BaseCommand):
    """Prints, as JSON, log-ins, API tokens and the tokens with which the three workers enrol."""

    help = "Fill an empty hub with the demo's organisations."
    requires_system_checks: list[str] = []  # they load every page; the hub that was just started has passed them

    def handle(self, *args: Any, **options: Any) -> None:
        """Make everything in one transaction."""
        if Organisation.objects.exists():
            raise CommandError("The hub already has organisations, but the demo needs an empty one.")
        self.stdout.write(json.dumps(self._seed()))

    @service
    def _seed(self) -> dict[str, Any]:
        people = {key: self._person(key, name, kind, person) for key, name, kind, person, _ in _PARTIES}
        owner, owner_organisation, _ = people["clinic"]
        project = project_create(
            actor=owner,
            organisation=owner_organisation,
            name="Structured notes",
            goal="One adapter that turns clinic notes and bank tickets into structured records.",
            lawful_basis="Generated text of the demo: no personal data.",
        )
        for key in ("bank", "compute"):
            user, organisation, _ = people[key]
            invitation, _ = invite_partner(
                actor=owner,
                project=project,
                email=user.email,
                party_kind=organisation.kind,
                message="Join our demo run.",
            )
            invitation_accept_partner(actor=user, invitation=invitation, organisation=organisation)
        return {
            "project": project.pk,
            "parties": {
                key: self._access(key, *people[key], kind=kind, worker=worker) for key, _, kind, _, worker in _PARTIES
            },
        }

    def _person(self, key: str, organisation_name: str, kind: str, person: str) -> tuple[User, Organisation, str]:
        password = f"{key}-{secrets.token_hex(5)}"
        user = User.objects.create_user(f"{person.split()[0].lower()}@{key}.example", password, name=person)
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        organisation = organisation_create(actor=user, name=organisation_name, kind=kind, contact_email=user.email)
        return user, organisation, password

    def _access(
        self, key: str, user: User, organisation: Organisation, password: str, *, kind: str, worker: str
    ) -> dict[str, Any]:
        _, api_token = token_create(actor=user, organisation=organisation, name="demo", scopes=list(Scope), days=1)
        enrolment = enrolment_token_create(
            actor=user, organisation=organisation, worker_name=worker, kind=kind, labels=["demo"]
        )
        return {
            "organisation": organisation.pk,
            "organisation_name": organisation.name,
            "email": user.email,
            "password": password,
            "api_token": api_token,
            "enrolment_token": enrolment.secret,
            "worker": worker,
        }
