"""What an idle worker costs the hub: hundreds of them beat and look at their lists all day."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from webapp.fleet import presence
from webapp.fleet.presence import beat_record
from webapp.fleet.tests.factories import make_worker
from webapp.orgs.tests.factories import OrganisationFactory
from workers.contracts import API_PREFIX, Beat

pytestmark = pytest.mark.django_db
TOLD = ('"facts"', '"checks"', '"policy"')  # most of a worker's row


def statements(queries: CaptureQueriesContext) -> list[str]:
    """What was asked of tables."""
    return [one["sql"] for one in queries if one["sql"].startswith(("SELECT", "INSERT", "UPDATE"))]


def test_an_idle_beat_is_one_look_and_one_write_and_rings_no_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[object] = []
    monkeypatch.setattr(presence, "notify_org", lambda *what: rung.append(what))
    worker = make_worker(OrganisationFactory())
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert beat_record(worker=worker.row, beat=Beat(lanes=[])) is not None
    asked = statements(queries)
    assert len(asked) == 2
    assert not any(column in sql for sql in asked for column in TOLD)
    assert not rung


def test_a_look_at_an_empty_list_reads_nothing_that_the_worker_told_of_itself() -> None:
    worker = make_worker(OrganisationFactory())
    with CaptureQueriesContext(connection) as queries:
        assert worker.get("assignments").json()["assignments"] == []
    asked = statements(queries)
    assert asked
    assert not any(column in sql for sql in asked for column in TOLD)


def test_the_path_of_a_workers_request_is_found_before_any_page_is_tried() -> None:
    first = get_resolver().url_patterns[0]
    assert f"/{first.pattern}" == f"{API_PREFIX}/"
