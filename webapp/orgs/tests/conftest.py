"""What the tests of invitations share: an organisation, its administrator and a project."""

from __future__ import annotations

import pytest

from webapp.orgs.tests.factories import (
    OrganisationFactory,
    ProjectFactory,
    member,
)


@pytest.fixture
def organisation():
    return OrganisationFactory(name="Clinic A")


@pytest.fixture
def admin(organisation):
    return member(organisation, name="Ada")


@pytest.fixture
def project(organisation, admin):
    return ProjectFactory(name="Letters", goal="Shorter letters", owner=organisation, created_by=admin)
