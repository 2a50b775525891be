"""A partner's paused run that keeps a worker: another run's start waits for a while, not without end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from webapp.runs.models import Participant, Run, RunState
from webapp.runs.sweeping import sweep
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


def joint_beside(own_state: str) -> make.World:
    """A run that has one worker at work for another run, which is in that state."""
    own = make.started(prefix="Own ")
    Run.objects.filter(pk=own.run.pk).update(state=own_state, desired="paused" if own_state == "paused" else "running")
    joint = make.world(prefix="Joint ")
    make.submit(joint)
    make.approve(joint)
    Participant.objects.filter(pk=joint.part(1).pk).update(worker=own.workers[1])
    make.claim(joint, 0)
    make.claim(joint, 2)
    return joint


def swept_for_a_day(joint: make.World) -> Run:
    for hours in range(1, 25):
        Run.objects.filter(pk=joint.run.pk).update(state_since=timezone.now() - timedelta(hours=hours))
        make.hub_watched()
        Participant.objects.all().update(last_beat_at=timezone.now())
        sweep()
    return joint.fresh()


def test_a_start_does_not_wait_without_end_for_a_worker_that_a_paused_run_keeps():
    joint = joint_beside(RunState.PAUSED)
    run = swept_for_a_day(joint)
    assert run.state in (RunState.STOPPING, RunState.FAILED)
    assert run.failure["code"] == "CL-1506"


def test_a_start_waits_for_a_worker_whose_other_run_goes_on():
    assert swept_for_a_day(joint_beside(RunState.TRAINING)).state == RunState.STARTING
