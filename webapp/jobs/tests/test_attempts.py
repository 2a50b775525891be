"""Every attempt keeps its own end: error, checkpoint, moment. What the part says of itself is another thing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.http import Http404
from django.test.utils import CaptureQueriesContext

from webapp.fleet.services import worker_revoke
from webapp.jobs.models import Attempt
from webapp.jobs.selectors import attempts_of, checkpoint_steps
from webapp.jobs.services import job_request
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import api_token, member
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.models import RunState
from webapp.runs.services import PartyChoice, run_draft_save
from webapp.runs.tests import factories as make
from webapp.telemetry.tests.batches import batch, record
from workers.contracts import ErrorInfo

pytestmark = pytest.mark.django_db
LOST = ErrorInfo(code="CL-1520", message="The half was lost.")


def attempts(w: make.World, place: int) -> list[Attempt]:
    """The attempts of the part at `place`, as they are stored."""
    part = w.part(place).id
    return attempts_of([part])[part]


def checkpoint(w: make.World, place: int, seq: int, step: int, name: str = "checkpoint.saved") -> None:
    part = w.part(place)
    told = record(seq, "event", name=name).model_copy(update={"step": step})
    records_store(participant=part, batch=batch(part, told))


def test_lost_attempt_keeps_its_error_and_checkpoint_when_the_part_begins_anew() -> None:
    w = make.started()
    checkpoint(w, 0, 1, 4)
    make.exit_part(w, 0, "failed", LOST)
    assert w.fresh().state == RunState.RECOVERING
    assert w.part(0).error is None, "the part waits to be taken up again"
    make.claim(w, 0)
    first, second = attempts(w, 0)
    assert (first.outcome, first.error and first.error["code"], first.checkpoint_step) == ("failed", "CL-1520", 4)
    assert first.started_at is not None
    assert first.ended_at is not None
    assert (second.number, second.outcome, second.ended_at) == (w.part(0).attempt, "", None)


def test_attempt_that_was_to_end_anyway_keeps_what_it_said() -> None:
    w = make.started()
    make.exit_part(w, 0, "failed", LOST)
    make.exit_part(w, 1, "failed", ErrorInfo(code="CL-1530", message="Its peer is gone."))
    [interrupted] = attempts(w, 1)
    assert w.part(1).outcome == ""
    assert (interrupted.outcome, interrupted.error and interrupted.error["code"]) == ("failed", "CL-1530")


def revoked(w: make.World) -> None:
    worker_revoke(actor=member(w.organisations[0], Role.ADMIN), worker=w.workers[0])


def next_attempt_refused(w: make.World) -> None:
    """The site lets no process begin, and says so under the last number that it has."""
    make.exit_part(w, 0, "failed", ErrorInfo(code="CL-1509", message="The policy refuses it."))


@pytest.mark.parametrize(("happens", "code"), [(revoked, "CL-1412"), (next_attempt_refused, "CL-1509")])
def test_attempt_that_has_ended_keeps_its_own_end_when_the_part_fails_before_the_next(
    happens: Callable[[make.World], None], code: str
) -> None:
    w = make.started()
    make.exit_part(w, 0, "failed", LOST)
    [before] = attempts(w, 0)
    happens(w)
    part = w.part(0)
    assert (part.outcome, part.error and part.error["code"]) == ("failed", code)
    [attempt] = attempts(w, 0)
    assert (attempt.outcome, attempt.error and attempt.error["code"]) == ("failed", "CL-1520")
    assert attempt.ended_at == before.ended_at


def test_checkpoint_of_an_earlier_attempt_counts_until_a_newer_one_tells_of_its_own() -> None:
    w = make.started()
    part = w.part(0)
    checkpoint(w, 0, 1, 4)
    make.exit_part(w, 0, "failed", LOST)
    make.claim(w, 0)
    assert checkpoint_steps([part.id]) == {part.id: 4}
    checkpoint(w, 0, 2, 2, "checkpoint.resumed")
    assert checkpoint_steps([part.id]) == {part.id: 2}


def test_batch_with_many_checkpoints_costs_as_many_queries_as_one_and_the_last_one_counts() -> None:
    w = make.started(run_config=make.long_config())
    part, costs = w.part(0), []
    for first, last in ((1, 1), (2, 2), (3, 201)):
        told = [
            record(seq, "event", name="checkpoint.saved").model_copy(update={"step": seq})
            for seq in range(first, last + 1)
        ]
        with CaptureQueriesContext(connection) as queries:
            records_store(participant=part, batch=batch(part, *told))
        costs.append(len([one for one in queries if "jobs_" in one["sql"]]))
    assert costs[1] > 0
    assert costs[2] == costs[1]
    assert checkpoint_steps([part.id]) == {part.id: 201}


def test_process_of_a_revoked_worker_is_not_said_to_be_gone() -> None:
    w = make.started()
    worker_revoke(actor=member(w.organisations[0], Role.ADMIN), worker=w.workers[0])
    [attempt] = attempts(w, 0)
    assert (attempt.outcome, attempt.error and attempt.error["code"]) == ("failed", "CL-1412")
    assert attempt.ended_at is None


def test_no_attempt_is_kept_of_a_part_that_nobody_took_up() -> None:
    w = make.world()
    make.submit(w)
    assert not Attempt.objects.filter(job__participant__run=w.run).exists()


def test_kind_that_is_none_gets_no_job() -> None:
    w = make.started()
    with pytest.raises(ValueError, match="isn't a kind"):
        job_request(participant_id=w.part(0).id, kind="shell")


def test_api_tells_each_attempt_with_its_own_error(client) -> None:
    w = make.started()
    make.exit_part(w, 0, "failed", LOST)
    make.claim(w, 0)
    token = api_token(w.engineer, w.organisations[0], "read")
    told = client.get(f"/api/v1/runs/{w.run.id}", headers={"Authorization": f"Bearer {token}"}).json()
    [part] = [part for part in told["participants"] if part["id"] == w.part(0).id]
    assert [(one["number"], one["outcome"]) for one in part["attempts"]] == [(1, "failed"), (2, "")]
    assert part["attempts"][0]["error"]["code"] == "CL-1520"


def test_how_the_halves_of_many_parts_stand_costs_one_query(django_assert_num_queries) -> None:
    w = make.started()
    make.exit_part(w, 0, "failed", ErrorInfo(code="CL-1820", message="The disk is full."))
    with django_assert_num_queries(1):
        stand = [(part.outcome, part.wanted_attempt, bool(part.stop_confirmed_at)) for part in w.run.participants.all()]
    assert sorted(stand) == [("", 1, False), ("", 1, False), ("failed", 1, True)]


def test_part_has_one_half() -> None:
    w = make.world()
    with pytest.raises(IntegrityError), transaction.atomic():
        job_request(participant_id=w.part(0).id, kind="train", subject="another")


def test_evaluator_has_no_half_and_the_end_of_one_does_not_exist() -> None:
    w = make.world()
    parties = [
        PartyChoice("client", w.workers[0].id, w.versions[0].id),
        PartyChoice("evaluator", w.workers[1].id, w.versions[1].id),
        PartyChoice("server", w.workers[2].id),
    ]
    run_draft_save(
        actor=w.engineer,
        project=w.project,
        organisation=w.organisations[0],
        name="First run",
        config=make.config(),
        parties=parties,
        run=w.run,
    )
    part = w.part(1)
    assert (part.train, part.outcome, part.wanted_attempt, part.stop_confirmed_at) == (None, "", 1, None)
    make.submit(w)
    make.approve(w)
    with pytest.raises(Http404):
        make.exit_part(w, 1, "failed", LOST)
    assert w.fresh().state == RunState.STARTING
