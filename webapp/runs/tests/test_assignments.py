"""The list that a worker asks for: bounded, what runs first, and no part that hides the others."""

from __future__ import annotations

import pytest

from splitcore.errors import AppError
from webapp.core.ids import new_id
from webapp.fleet.tests.factories import give_key
from webapp.jobs.models import Job
from webapp.runs.lifecycle import assignments_for
from webapp.runs.models import DesiredState, Participant, Run, RunState
from webapp.runs.tests.factories import approve, started, submit, verdict, world
from workers.contracts import ASSIGNMENTS

pytestmark = pytest.mark.django_db


def copies(w, count, **of_part):
    """As many more runs that wait for a verdict of the first worker."""
    names = ("project", "organisation", "created_by", "config", "contract", "contract_hash")
    fields = {name: getattr(w.fresh(), name) for name in names}
    runs = [Run(**fields, id=new_id("run"), name=f"run {number}", state=RunState.AWAITING) for number in range(count)]
    Run.objects.bulk_create(runs)
    part = w.part(0)
    parts = Participant.objects.bulk_create(
        Participant(
            id=new_id("prt"),
            run=run,
            organisation=part.organisation,
            worker=part.worker,
            role=part.role,
            party=part.party,
            dataset_version=part.dataset_version,
            **of_part,
        )
        for run in runs
    )
    Job.objects.bulk_create(Job(id=new_id("job"), participant=copy, kind="train") for copy in parts)
    return {run.id for run in runs}


def test_more_parts_than_one_answer_holds_leave_the_running_one_in_it():
    w = world()
    submit(w)
    copies(w, ASSIGNMENTS + 1)
    later = started(prefix="Later ")
    part = later.part(0)
    Participant.objects.filter(pk=part.pk).update(worker=w.workers[0])
    listed = give_key(w.workers[0]).get("assignments").json()["assignments"]
    assert len(listed) == ASSIGNMENTS
    assert (listed[0]["participant_id"], listed[0]["kind"]) == (part.id, "train")


def test_contracts_that_are_refused_do_not_hide_one_without_a_verdict(monkeypatch):
    monkeypatch.setattr("webapp.runs.lifecycle.assignments.ASSIGNMENTS", 3)
    w = world()
    submit(w)
    copies(w, 4, policy_verdict={"accepted": False, "refusals": []})
    newest = copies(w, 1)
    verdict(w, 0, accepted=True)
    listed = [item.run_id for item in assignments_for(w.workers[0])]
    assert len(listed) == 3
    assert {listed[0]} == newest
    assert w.run.id not in listed, "what is accepted comes last"


def test_an_accepted_contract_is_judged_again_until_the_run_starts():
    w = world()
    submit(w)
    verdict(w, 0, accepted=True)
    assert [item.kind for item in assignments_for(w.workers[0])] == ["review"]
    refusal = {"field": "participants.fingerprint", "message": "Not trusted here any more.", "limit": ""}
    verdict(w, 0, accepted=False, refusals=[refusal])
    with pytest.raises(AppError) as caught:
        approve(w, 0)
    assert caught.value.code == "CL-1423"


def test_a_part_that_breaks_the_form_does_not_hide_the_others(caplog):
    w, other = started(), started(prefix="Other ")
    Participant.objects.filter(pk=other.part(0).pk).update(worker=w.workers[0], party="No such name!")
    assert [item.run_id for item in assignments_for(w.workers[0])] == [w.run.id]
    assert other.run.id in caplog.text


def test_what_is_over_costs_a_look_nothing(django_assert_num_queries):
    w = started()
    copies(w, 20, attempt=1)
    Run.objects.exclude(pk=w.run.pk).update(state=RunState.FAILED, desired=DesiredState.STOPPED)
    Run.objects.filter(pk=w.run.pk).update(state=RunState.FAILED, desired=DesiredState.STOPPED)
    Job.objects.update(outcome="failed")
    with django_assert_num_queries(1):
        assert assignments_for(w.workers[0]) == []
