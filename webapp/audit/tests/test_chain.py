"""The chain of the audit log notices every change."""

from __future__ import annotations

import pytest

from webapp.audit.models import AuditEntry
from webapp.audit.selectors import entries_visible_to, verify_chain
from webapp.audit.services import audit_record
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import MembershipFactory, OrganisationFactory, UserFactory, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def log():
    user = UserFactory(name="Ada")
    return [
        audit_record(actor=user, action="thing.done", organisation_id="org_1", details={"n": n, "t": (1, 2)})
        for n in range(4)
    ]


def test_an_untouched_chain_verifies(log):
    report = verify_chain()
    assert (report.ok, report.checked, report.head_hash) == (True, 4, log[-1].hash)


def test_an_empty_chain_verifies():
    assert verify_chain().ok


@pytest.mark.promise(39, figure="every flipped field found")
@pytest.mark.parametrize(
    "change",
    [
        {"actor_label": "Eve"},
        {"details": {"n": 99}},
        {"action": "thing.undone"},
        {"organisation_id": "org_2"},
        {"object_id": "x"},
        {"at": "2020-01-01T00:00:00Z"},
    ],
)
def test_a_changed_entry_breaks_the_chain_there(log, change):
    AuditEntry.objects.filter(pk=log[1].pk).update(**change)
    report = verify_chain()
    assert not report.ok
    assert report.first_broken == log[1].pk


def test_a_changed_entry_with_a_forged_hash_breaks_the_chain_at_the_next(log):
    from webapp.audit.services import entry_hash

    entry = AuditEntry.objects.get(pk=log[1].pk)
    entry.action = "thing.forged"
    AuditEntry.objects.filter(pk=entry.pk).update(action=entry.action, hash=entry_hash(entry))
    assert verify_chain().first_broken == log[2].pk


@pytest.mark.promise(39)
def test_a_removed_entry_breaks_the_chain(log):
    AuditEntry.objects.filter(pk=log[1].pk).delete()
    report = verify_chain()
    assert not report.ok
    assert report.first_broken == log[2].pk
    assert "missing" in report.reason


def test_only_admins_and_auditors_see_their_organisations_entries():
    organisation, other = OrganisationFactory(), OrganisationFactory()
    entry = audit_record(actor=None, action="hub.did", organisation_id=organisation.pk)
    audit_record(actor=None, action="hub.did", organisation_id=other.pk)
    assert list(entries_visible_to(member(organisation))) == [entry]
    assert list(entries_visible_to(member(organisation, Role.AUDITOR))) == [entry]
    assert not entries_visible_to(member(organisation, Role.ENGINEER)).exists()
    assert MembershipFactory().user.pk
