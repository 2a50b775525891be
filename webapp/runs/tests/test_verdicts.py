"""However often a worker changes its mind on a contract, the audit log stays readable."""

from __future__ import annotations

import json

import pytest

from webapp.audit.models import AuditEntry
from webapp.runs.lifecycle.participation import TOLD_VERDICTS
from webapp.runs.tests import factories as make
from workers.contracts import JOB_KIND

pytestmark = pytest.mark.django_db
REFUSALS = [{"field": "f" * 120, "message": "m" * 600, "limit": "l" * 120}] * 50


def _entries():
    return AuditEntry.objects.filter(action__startswith="policy.")


def test_the_same_verdict_again_makes_no_entry():
    w = make.world()
    make.submit(w)
    for _ in range(3):
        make.verdict(w, 1, accepted=False, refusals=REFUSALS[:2])
    assert _entries().count() == 1


def test_an_entry_holds_a_bounded_part_of_a_refusal():
    w = make.world()
    make.submit(w)
    make.verdict(w, 1, accepted=False, refusals=REFUSALS)
    details = _entries().get().details
    assert len(json.dumps(details)) < 5000
    assert (len(details["refusals"]), details["more"]) == (10, 40)
    assert len(w.part(1).policy_verdict["refusals"]) == 50


def test_a_worker_that_changes_its_mind_for_ever_fills_no_log():
    w = make.world()
    make.submit(w)
    for turn in range(6 * TOLD_VERDICTS):
        make.verdict(w, 1, accepted=bool(turn % 2), refusals=[] if turn % 2 else REFUSALS[:1])
    assert _entries().count() == 2 * TOLD_VERDICTS
    assert w.part(1).policy_verdict["accepted"]
    assert w.fresh().record_count < 4 * TOLD_VERDICTS


def test_another_contract_is_judged_anew():
    w = make.world()
    make.submit(w)
    make.verdict(w, 1, accepted=True)
    w.run.participants.update(policy_verdict=None)
    make.verdict(w, 1, accepted=True)
    assert _entries().count() == 2


def test_a_worker_too_old_for_a_job_says_nothing_against_the_contract():
    w = make.world()
    make.submit(w)
    make.verdict(w, 1, accepted=True)
    entries = _entries().count()
    needs = "A job of the kind “audit” needs a worker of protocol 9; this one reads up to 8 (CL-1525)."
    for _ in range(2 * TOLD_VERDICTS):
        make.verdict(w, 1, accepted=False, refusals=[{"field": JOB_KIND, "message": needs}])
    part = w.part(1)
    assert part.policy_verdict["accepted"]
    assert not part.refuses_contract
    told = [row.payload for row in w.run.records.filter(kind="event", payload__name="job.unknown")]
    assert len(told) == TOLD_VERDICTS
    assert told[0]["error"]["code"] == "CL-1525"
    assert needs in told[0]["detail"]
    assert _entries().count() == entries
