"""A service is one transaction, audited last, and tried again after a lost race."""

from __future__ import annotations

import ast
from pathlib import Path

import psycopg
import pytest
from django.db import OperationalError

import webapp
from webapp.audit.models import AuditEntry
from webapp.audit.services import audit_record
from webapp.core.transactions import at_the_end, service
from webapp.orgs.models import Organisation

ROOT = Path(webapp.__file__).parent


class Lost(psycopg.OperationalError):
    sqlstate = "40P01"


def deadlock() -> OperationalError:
    error = OperationalError("deadlock detected")
    error.__cause__ = Lost()
    return error


@pytest.mark.django_db(transaction=True)
def test_a_lost_race_is_run_once_more_as_a_whole():
    calls = []

    @service
    def write():
        calls.append(1)
        Organisation.objects.create(name="Alpha", slug="alpha")
        audit_record(actor=None, action="thing.done")
        if len(calls) == 1:
            raise deadlock()

    write()
    assert len(calls) == 2
    assert (Organisation.objects.count(), AuditEntry.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_race_that_is_lost_twice_is_raised():
    @service
    def write():
        raise deadlock()

    with pytest.raises(OperationalError):
        write()


@pytest.mark.django_db(transaction=True)
def test_a_part_of_a_service_is_not_tried_again_by_itself():
    calls = []

    @service
    def part():
        calls.append("part")
        raise deadlock()

    @service
    def whole():
        calls.append("whole")
        part()

    with pytest.raises(OperationalError):
        whole()
    assert calls == ["whole", "part", "whole", "part"]


@pytest.mark.django_db
def test_entries_are_written_when_the_outermost_service_ends():
    seen = []

    @service
    def part():
        audit_record(actor=None, action="part.done")

    @service
    def whole():
        part()
        seen.append(AuditEntry.objects.count())
        at_the_end(lambda: seen.append(AuditEntry.objects.count()))

    whole()
    assert seen == [0, 1]


@pytest.mark.django_db
def test_a_part_that_failed_leaves_no_entry():
    @service
    def part():
        audit_record(actor=None, action="part.done")
        raise KeyError

    @service
    def whole():
        audit_record(actor=None, action="whole.begun")
        with pytest.raises(KeyError):
            part()

    whole()
    assert [entry.action for entry in AuditEntry.objects.all()] == ["whole.begun"]


def test_every_transaction_that_is_audited_is_a_service():
    """A plain transaction around services would let the first one's entry hold the chain while others take locks."""
    for path in ROOT.rglob("*.py"):
        if {"tests", "migrations", "core"} & set(path.relative_to(ROOT).parts):
            continue
        assert "@transaction.atomic" not in path.read_text(), f"{path.name}: decorate it with webapp.core's service"


def test_every_lock_leaves_room_for_rows_that_point_to_the_locked_one():
    calls = [
        (path.relative_to(ROOT), node.lineno, {keyword.arg for keyword in node.keywords})
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "select_for_update"
    ]
    assert len(calls) > 10
    assert [(str(path), line) for path, line, named in calls if "no_key" not in named] == []
