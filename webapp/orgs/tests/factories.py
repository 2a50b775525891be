"""Makes people, organisations and projects for tests of every app."""

from __future__ import annotations

import factory
from django.utils.text import slugify

from webapp.accounts.models import ApiToken, User
from webapp.core.ids import new_token, token_hash
from webapp.orgs.models import Membership, Organisation, PartyKind, Role
from webapp.projects.models import Participation, Project

PASSWORD = "correct horse battery staple"


class UserFactory(factory.django.DjangoModelFactory):
    """A person with a verified address and the password PASSWORD."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Person {n}")
    email = factory.Sequence(lambda n: f"person{n}@example.org")

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        from allauth.account.models import EmailAddress

        password = kwargs.pop("password", PASSWORD)
        user = model_class.objects.create_user(password=password, **kwargs)
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        return user


class OrganisationFactory(factory.django.DjangoModelFactory):
    """A data organisation."""

    class Meta:
        model = Organisation

    name = factory.Sequence(lambda n: f"Organisation {n}")
    slug = factory.LazyAttribute(lambda o: slugify(o.name))
    kind = PartyKind.DATA


class MembershipFactory(factory.django.DjangoModelFactory):
    """An administrator of an organisation, unless another role is given."""

    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    organisation = factory.SubFactory(OrganisationFactory)
    role = Role.ADMIN


class ProjectFactory(factory.django.DjangoModelFactory):
    """A project in which its owner takes part."""

    class Meta:
        model = Project
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Project {n}")
    goal = "Summarise discharge letters."
    owner = factory.SubFactory(OrganisationFactory)
    created_by = factory.SubFactory(UserFactory)

    @factory.post_generation
    def participation(self, create, extracted, **kwargs):
        if create:
            ParticipationFactory(project=self, organisation=self.owner, kind=self.owner.kind)


class ParticipationFactory(factory.django.DjangoModelFactory):
    """An organisation in a project."""

    class Meta:
        model = Participation

    project = factory.SubFactory(ProjectFactory)
    organisation = factory.SubFactory(OrganisationFactory)
    kind = PartyKind.DATA
    accepted_by = factory.SubFactory(UserFactory)


def member(organisation: Organisation, role: Role = Role.ADMIN, **fields) -> User:
    """A new person with that role in the organisation."""
    return MembershipFactory(organisation=organisation, role=role, user=UserFactory(**fields)).user


def api_token(user: User, organisation: Organisation, *scopes: str) -> str:
    """The secret of a new API token with the given scopes (all, when none is named)."""
    from datetime import timedelta

    from django.utils import timezone

    from webapp.accounts.api_auth import Scope

    secret = new_token("clt")
    ApiToken.objects.create(
        user=user,
        organisation=organisation,
        name="test",
        token_hash=token_hash(secret),
        hint=secret[-4:],
        scopes=list(scopes) or [scope.value for scope in Scope],
        expires_at=timezone.now() + timedelta(days=1),
    )
    return secret
