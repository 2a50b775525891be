"""What a fetch of a run's figures reads does not grow with the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from webapp.runs.models import ParticipantRole
from webapp.runs.tests.factories import World, long_config, started
from webapp.telemetry.models import Record
from webapp.telemetry.series import SMOOTHED_STEPS, latest_losses

pytestmark = pytest.mark.django_db


def more_steps(w: World, place: int, count: int) -> None:
    """Records of steps of the part at `place`, after all others of the run."""
    part = w.part(place)
    first = (Record.objects.filter(run=w.run).order_by("-seq").values_list("seq", flat=True).first() or 0) + 1
    Record.objects.bulk_create(
        Record(run=w.run, seq=n, participant=part, worker_seq=n, kind="metric", step=n, payload={"loss": 2.0}, at=now)
        for now in [timezone.now()]
        for n in range(first, first + count)
    )


@contextmanager
def instructions_counted() -> Iterator[list[int]]:
    """Counts what the database does: one entry per hundred of its instructions."""
    found: list[int] = []
    connection.connection.set_progress_handler(lambda: found.append(1), 100)
    try:
        yield found
    finally:
        connection.connection.set_progress_handler(None, 0)


def cost(w: World) -> int:
    with instructions_counted() as found:
        latest_losses(w.run)
    return len(found)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="counts the instructions of SQLite")
@pytest.mark.parametrize("role", [ParticipantRole.CLIENT, ParticipantRole.EVALUATOR])
def test_a_longer_run_costs_no_more_whether_or_not_the_other_part_has_steps(role: ParticipantRole) -> None:
    w = started(run_config=long_config())
    w.run.participants.filter(worker=w.workers[1]).update(role=role)
    more_steps(w, 0, 2 * SMOOTHED_STEPS)
    before = cost(w)
    more_steps(w, 0, 8 * SMOOTHED_STEPS)
    assert 0 < cost(w) <= before + 2


def test_only_parts_that_have_a_loss_are_asked_for() -> None:
    w = started(run_config=long_config())
    w.run.participants.filter(worker=w.workers[1]).update(role=ParticipantRole.EVALUATOR)
    more_steps(w, 0, 3)
    with CaptureQueriesContext(connection) as queries:
        losses = latest_losses(w.run)
    assert len([one for one in queries if 'FROM "telemetry_record"' in one["sql"]]) == 1
    assert losses == {w.part(0).party: pytest.approx(2.0)}
