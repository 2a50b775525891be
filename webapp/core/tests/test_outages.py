"""A database that is locked for too long: 503 with a code on pages, in the API and for workers, whoever meets it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.http import HttpResponse
from django.test import Client

from splitcore.errors import CATALOGUE
from webapp.core.outages import outage
from webapp.fleet.tests.factories import make_worker
from webapp.orgs.tests.factories import OrganisationFactory, api_token, member

pytestmark = pytest.mark.django_db
PASSWORD = "a long and strange password"


@pytest.fixture
def locked(tmp_path: Path) -> OperationalError:
    """What Django raises where another process holds SQLite's lock for longer than a connection waits."""
    file = tmp_path / "other.sqlite3"
    options = {"timeout": 0.01, "transaction_mode": "IMMEDIATE"}
    late = DatabaseWrapper({**connections["default"].settings_dict, "NAME": str(file), "OPTIONS": options}, "late")
    with closing(sqlite3.connect(file, isolation_level=None)) as holder, closing(late):
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError) as caught, late.cursor() as cursor:
            cursor.execute("CREATE TABLE t (n)")
    return caught.value


def from_page() -> HttpResponse:
    person = member(OrganisationFactory())
    person.set_password(PASSWORD)
    person.save()
    return during(lambda: Client().post("/accounts/login/", {"login": person.email, "password": PASSWORD}))


def from_api() -> HttpResponse:
    organisation = OrganisationFactory()
    headers = {"authorization": f"Bearer {api_token(member(organisation), organisation)}"}
    client = Client(raise_request_exception=False)
    return during(
        lambda: client.post("/api/v1/projects", {"name": "One"}, content_type="application/json", headers=headers)
    )


def from_worker() -> HttpResponse:
    worker = make_worker(OrganisationFactory())
    return during(lambda: worker.post("witness", {}))


def during(call: Callable[[], HttpResponse]) -> HttpResponse:
    """Call while no write gets its lock."""
    with connection.execute_wrapper(_refuse):
        return call()


_error: list[OperationalError] = []


def _refuse(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    if sql.split()[0] in ("INSERT", "UPDATE", "DELETE"):
        raise _error[0]
    return execute(sql, params, many, context)


@pytest.mark.parametrize("call", [from_page, from_api, from_worker], ids=["page", "api", "worker"])
def test_a_write_that_waits_too_long_for_its_lock_is_an_outage_with_a_code(
    locked: OperationalError, call: Callable[[], HttpResponse]
) -> None:
    _error[:] = [locked]
    answer = call()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), answer.content[:500]
    assert CATALOGUE["CL-1905"].remedy
    if answer.headers["Content-Type"] == "application/json":
        assert json.loads(answer.content)["code"] == "CL-1905"
    else:
        assert b"CL-1905" in answer.content


def test_another_error_of_the_database_is_no_outage() -> None:
    assert outage(OperationalError("no such table: t")) is None
    assert outage(KeyError("database is locked")) is None
