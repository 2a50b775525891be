"""An export is signed by the hub: whoever has its public key finds every change, without the hub."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

from splitcore.audit_export import Form, export_check, key_fingerprint, seal
from splitcore.errors import AppError
from webapp.audit.exports import json_lines, signed_export
from webapp.audit.models import AuditEntry
from webapp.audit.services import audit_record, entry_hash
from webapp.audit.witness import chain_head
from webapp.fleet.hub_key import hub_public_key_pem, hub_sign
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import OrganisationFactory, member

pytestmark = pytest.mark.django_db
FORMS: list[Form] = ["csv", "json"]


@pytest.fixture
def organisation():
    return OrganisationFactory(name="Ünïcode\u2028 & Söhne")


@pytest.fixture
def entries(organisation):
    for number in range(3):
        audit_record(
            actor=None,
            action="run.approved",
            organisation_id=organisation.pk,
            details={"n": number, "name": organisation.name, "cell": "=1+1"},
        )
        audit_record(actor=None, action="run.approved", organisation_id="org_other")
    return AuditEntry.objects.filter(organisation_id=organisation.pk).order_by("sequence")


def export(entries, form: Form) -> bytes:
    return signed_export(form, entries, organisation_id="org_1", query="action=run")


def code_of(data: bytes, key: str | None = None) -> str:
    with pytest.raises(AppError) as raised:
        export_check(data, key or hub_public_key_pem())
    return raised.value.code


@pytest.mark.promise(39, figure="every flipped byte found")
@pytest.mark.parametrize("form", FORMS)
def test_each_flipped_byte_of_an_export_is_found(entries, form):
    data = export(entries, form)
    checked = export_check(data, hub_public_key_pem())
    assert (checked.form, checked.statement.entries) == (form, 3)
    assert (checked.statement.sequence, checked.statement.head) == (6, chain_head().head)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x20 if place % 2 else 0x01
        assert code_of(bytes(changed)) in {"CL-1437", "CL-1438", "CL-1439"}, place


@pytest.mark.promise(39)
@pytest.mark.parametrize("form", FORMS)
def test_an_export_that_was_cut_or_put_together_anew_is_found(entries, form):
    data = export(entries, form)
    lines = data.splitlines(keepends=True)
    assert code_of(b"".join(lines[:-1])) == "CL-1437", "its tail is cut off"
    assert code_of(data[:-1]) == "CL-1437"
    assert code_of(b"".join(lines[1:])) == "CL-1438", "its first line is gone"
    assert code_of(b"".join([lines[1], lines[0], *lines[2:]])) == "CL-1438"
    assert code_of(data + data) == "CL-1438"
    assert code_of(b"") == code_of(b"\n") == code_of(b"{}\n") == code_of(b'"\n') == code_of(b"\xff\xfe\n") == "CL-1437"
    other = export(entries.filter(details__n=1), form).splitlines(keepends=True)
    assert code_of(b"".join(lines[:-1]) + other[-1]) == "CL-1438", "the seal of another export"


@pytest.mark.promise(39)
def test_an_export_that_was_signed_with_another_key_is_found(entries):
    key = Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    data = export(entries, "json")
    told = export_check(data, hub_public_key_pem()).statement
    body = b"".join(data.splitlines(keepends=True)[:-1]) if b"\r" in data else data[: data.rfind(b"\n", 0, -1) + 1]
    renamed = told.model_copy(update={"hub_key": key_fingerprint(pem)})
    assert export_check(body + seal("json", renamed, key.sign), pem).statement.entries == 3
    assert code_of(body + seal("json", renamed, key.sign)) == "CL-1439"
    assert code_of(body + seal("json", told, key.sign)) == "CL-1438", "it names the hub's key"
    assert code_of(data, "no key") == "CL-1439"


def test_what_the_hubs_key_has_signed_otherwise_is_no_seal(entries):
    data = export(entries, "json")
    told = export_check(data, hub_public_key_pem()).statement
    body = data[: data.rfind(b"\n", 0, -1) + 1]

    def without_purpose(message: bytes) -> bytes:
        return hub_sign(message.split(b"\n", 1)[1])

    assert code_of(body + seal("json", told, without_purpose)) == "CL-1438"


@pytest.mark.parametrize("change", [{"action": "run.declined"}, {"hash": "ab" * 32}, {"previous_hash": "cd" * 32}])
def test_a_log_that_was_changed_before_it_was_signed_does_not_fit_its_hashes(entries, change):
    AuditEntry.objects.filter(pk=entries[1].pk).update(**change)
    assert code_of(export(entries, "json")) == "CL-1445"


def test_an_entry_with_a_forged_hash_does_not_fit_the_next(entries):
    audit_record(actor=None, action="run.stopped", organisation_id=entries[0].organisation_id)  # number 7
    audit_record(actor=None, action="run.stopped", organisation_id=entries[0].organisation_id)
    forged = AuditEntry.objects.get(pk=7)
    forged.action = "run.done"
    AuditEntry.objects.filter(pk=7).update(action="run.done", hash=entry_hash(forged))
    assert code_of(export(entries.all(), "json")) == "CL-1445"


def test_a_statement_that_counts_otherwise_does_not_fit(entries):
    told = export_check(export(entries, "json"), hub_public_key_pem()).statement
    body = "".join(json_lines(entries)).encode()
    wrong = told.model_copy(update={"entries": 4})
    assert code_of(body + seal("json", wrong, hub_sign)) == "CL-1445"


@pytest.mark.parametrize("form", FORMS)
def test_the_page_gives_the_signed_file_and_the_key(organisation, entries, form):
    client = Client()
    client.force_login(member(organisation, Role.AUDITOR))
    pem = client.get("/audit/hub-key").content.decode()
    assert pem == hub_public_key_pem()
    data = client.post(f"/audit/export/{form}?action=run").content
    told = export_check(data, pem).statement
    assert (told.organisation_id, told.filter, told.entries) == (organisation.pk, "action=run", 3)
    assert key_fingerprint(pem) in client.get("/audit").content.decode()
    nothing = export_check(client.post(f"/audit/export/{form}?action=none").content, pem)
    assert nothing.statement.entries == 0


def test_the_last_line_of_json_lines_is_json_too(entries):
    last = json.loads(export(entries, "json").decode().rstrip("\n").split("\n")[-1])
    assert last.keys() == {"signature", "statement"}
