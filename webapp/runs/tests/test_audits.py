"""Leakage audits at the hub: who may start one, what its worker is told, and who sees what it found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.measured import Figures, Interval
from splitcore.audit.leaks.found import LeakCheck
from splitcore.audit.result import AttackResult, AuditResult, CeilingPoint, CeilingResult, ChannelResult, Control
from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.core import live
from webapp.fleet.tests.factories import give_key
from webapp.jobs.models import Job
from webapp.jobs.services import job_claim
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import member
from webapp.runs.lifecycle import assignments_for
from webapp.runs.models import RunState
from webapp.runs.services import audit_cancel, audit_request, run_draft_save
from webapp.runs.services.audits import AUDITS_MAX
from webapp.runs.tests import factories as make
from workers.contracts import AuditEnd, AuditSpec, ErrorInfo, spec_read

pytestmark = pytest.mark.django_db


@pytest.fixture
def w() -> make.World:
    """A run that trains; its first part has rows of the engineer's organisation."""
    w = make.started()
    type(w.run).objects.filter(pk=w.run.pk).update(state=RunState.TRAINING)
    return w


def figures(share: float) -> Figures:
    read = Interval(value=share, low=max(share - 0.05, 0), high=min(share + 0.05, 1))
    return Figures(tokens=read, rare=None, exact=0.25, worst=1.0, rouge_l=0.5, records=48, counted=900)


def found(*, valid: bool = True) -> AuditResult:
    read = {"channel": LeakChannel.HIDDEN, "attack": "nearest_embedding", "figures": figures(0.731)}
    wanted = Interval(value=1, low=0.99, high=1)
    control = Control(name="no_defence", channel=LeakChannel.HIDDEN, passed=valid, found=0.4, wanted=wanted)
    return AuditResult(
        size="quick",
        portfolio=1,
        at=datetime.now(UTC),
        valid=valid,
        records=48,
        auxiliary=200,
        epochs=1,
        attacks=[
            AttackResult(outcome="ran", null=figures(0.05), **read),
            *(
                AttackResult(
                    attack=name, channel=LeakChannel.GRADIENT, outcome="not_run", reason="The targets are sent."
                )
                for name in ("label_gradient", "completion")
            ),
        ],
        controls=[control],
        channels=[ChannelResult(null=figures(0.05), **read)],
        seconds=40.0,
    )


def test_the_privacy_tab_names_a_leak_that_must_not_be_there(w: make.World, client: Client) -> None:
    told = "9 different token ids stand among the numbers of gradients."
    leaks = [
        LeakCheck(leak="token_ids", outcome="found", told=told),
        LeakCheck(leak="lengths", outcome="not_looked", told="Exact lengths cross."),
    ]
    job = audit_request(actor=w.engineer, part=w.part(0), size="quick")
    ends(w, job, audit=found().model_copy(update={"leaks": leaks}))
    page = privacy_page(w, client)
    assert leaks[0].words in page
    assert told in page
    assert leaks[1].words not in page


def ends(w: make.World, job: Job, **told: Any) -> None:
    values = {"outcome": "done", "kind": "audit", "subject": job.subject, **told}
    part = w.part(0)
    end = AuditEnd(participant_id=part.id, attempt=part.attempt, **values)
    give_key(w.workers[0]).post(f"runs/{w.run.id}/exit", end.model_dump(mode="json"))


def privacy_page(w: make.World, client: Client, user: Any = None) -> str:
    client.force_login(user or w.engineer)
    return client.get(reverse("runs:privacy", args=[w.run.id])).content.decode()


def test_the_worker_is_told_of_it_beside_its_half(w: make.World) -> None:
    job = audit_request(actor=w.engineer, part=w.part(0), size="full")
    half, audit = assignments_for(w.workers[0])
    assert (half.kind, audit.kind, audit.subject) == ("train", "audit", job.subject)
    assert spec_read(audit) == AuditSpec(size="full", seed=job.spec["seed"])
    assert [one.kind for one in assignments_for(w.workers[1])] == ["train"]
    [entry] = AuditEntry.objects.filter(action="leakage.audit_requested")
    assert (entry.organisation_id, entry.object_id) == (w.organisations[0].id, w.run.id)


@pytest.mark.parametrize("state", [RunState.PAUSED, RunState.DONE])
def test_it_may_be_asked_for_as_long_as_the_run_has_not_failed(w: make.World, state: RunState) -> None:
    type(w.run).objects.filter(pk=w.run.pk).update(state=state)
    audit_request(actor=w.engineer, part=w.part(0), size="quick")
    assert "audit" in [one.kind for one in assignments_for(w.workers[0])]


def test_it_may_be_asked_for_before_anybody_approves(client: Client) -> None:
    w = make.world()
    make.submit(w)
    job = audit_request(actor=w.engineer, part=w.part(0), size="quick")
    review, audit = assignments_for(w.workers[0])
    assert (review.kind, audit.kind, audit.attempt) == ("review", "audit", 0)
    assert audit.contract_hash == review.contract_hash == w.fresh().contract_hash
    for place, offered in ((0, True), (2, False)):
        client.force_login(w.approvers[place])
        page = client.get(reverse("runs:approvals", args=[w.run.id])).content.decode()
        assert ("Measure what it would leak" in page) == offered, "to who has rows alone"
    ends(w, job, audit=found())
    page = privacy_page(w, client)
    assert "73.1 % of tokens" in page
    assert "has changed since" not in page


def test_a_changed_run_is_no_longer_measured_and_an_older_figure_says_so(client: Client) -> None:
    w = make.world()
    make.submit(w)
    ends(w, audit_request(actor=w.engineer, part=w.part(0), size="quick"), audit=found())
    late = audit_request(actor=w.engineer, part=w.part(0), size="full")
    changed = make.config(training={"steps": 5, "batch_size": 2, "max_length": 16})
    run_draft_save(
        actor=w.engineer,
        project=w.project,
        organisation=w.organisations[0],
        name="First run",
        config=changed,
        run=w.run,
    )
    late.refresh_from_db()
    assert late.outcome == "stopped"
    assert [one.kind for one in assignments_for(w.workers[0])] == []
    page = privacy_page(w, client)
    assert "The configuration has changed since this audit" in page
    assert "once it is submitted" in page, "why none can be started now"


def test_one_that_runs_while_the_run_is_changed_is_ended_by_its_worker(
    django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is there until the worker says that it has gone, and the worker is rung to end it."""
    w = make.world()
    make.submit(w)
    job = audit_request(actor=w.engineer, part=w.part(0), size="full")
    attempt = job_claim(job)
    rung = list[str]()
    monkeypatch.setattr(live, "_send", lambda group, event: rung.append(group))
    with django_capture_on_commit_callbacks(execute=True):
        run_draft_save(
            actor=w.engineer,
            project=w.project,
            organisation=w.organisations[0],
            name="First run",
            config=make.config(training={"steps": 5, "batch_size": 2, "max_length": 16}),
            run=w.run,
        )
    job.refresh_from_db()
    attempt.refresh_from_db()
    assert (job.outcome, job.ended_at) == ("stopped", None)
    assert (attempt.outcome, attempt.ended_at) == ("stopped", None)
    assert live.worker_group(w.workers[0].id) in rung


@pytest.mark.parametrize(
    ("protocol", "words"), [(7, "supports protocol 7, and an audit needs 8"), (0, "connect first")]
)
def test_a_worker_too_old_for_its_figures_is_asked_for_none(protocol: int, words: str, client: Client) -> None:
    """One of protocol 7 takes an audit before approval for the run's beginning, and binds its site to the contract."""
    w = make.world()
    make.submit(w)
    type(w.workers[0]).objects.filter(pk=w.workers[0].pk).update(protocol=protocol)
    with pytest.raises(AppError, match=words):
        audit_request(actor=w.engineer, part=w.part(0), size="quick")
    assert words in privacy_page(w, client)
    assert [one.kind for one in assignments_for(w.workers[0])] == ["review"]


def test_one_is_under_way_at_a_time(w: make.World) -> None:
    first = audit_request(actor=w.engineer, part=w.part(0), size="quick")
    assert audit_request(actor=w.engineer, part=w.part(0), size="full") == first
    ends(w, first, audit=found())
    assert audit_request(actor=w.engineer, part=w.part(0), size="full") != first


def test_its_figures_are_shown_to_its_own_organisation_alone(w: make.World, client: Client) -> None:
    assert "Nothing was measured" in privacy_page(w, client)
    ends(w, audit_request(actor=w.engineer, part=w.part(0), size="quick"), audit=found())
    page = privacy_page(w, client)
    assert "73.1 % of tokens" in page
    assert "lower bounds" in page
    assert "2 of 3 attacks gave no answer. The targets are sent." in " ".join(page.split())
    assert page.count("The targets are sent.") == 1
    assert "<strong>Gradients sent at the second cut</strong>: not measured" in page
    partner = member(w.organisations[1], Role.ADMIN)
    assert "73.1" not in privacy_page(w, client, partner)
    assert w.fresh().state == RunState.TRAINING


def test_a_ceiling_is_told_where_it_says_something(w: make.World, client: Client) -> None:
    points = {0.01: 0.25, 0.1: 0.5, 0.3: 0.995}
    curve = [CeilingPoint(kappa=k, value=v, bound="record", says_something=v < 0.99) for k, v in points.items()]
    result = found().model_copy(update={"ceiling": CeilingResult(curve=curve, tokens=300)})
    ends(w, audit_request(actor=w.engineer, part=w.part(0), size="quick"), audit=result)
    page = " ".join(privacy_page(w, client).split())
    assert "guesses without them: 25.0 % for 1 %; 50.0 % for 10 %. </p>" in page


def test_one_that_failed_its_controls_says_nothing(w: make.World, client: Client) -> None:
    ends(w, audit_request(actor=w.engineer, part=w.part(0), size="quick"), audit=found(valid=False))
    page = privacy_page(w, client)
    assert "CL-1552" in page
    assert "at least 99.0 % is wanted" in page
    assert "73.1 %" not in page


def test_one_that_failed_tells_why(w: make.World, client: Client) -> None:
    error = ErrorInfo(code="CL-1550", message="Four rows are too few.")
    ends(w, audit_request(actor=w.engineer, part=w.part(0), size="quick"), outcome="failed", error=error)
    page = privacy_page(w, client)
    assert "CL-1550" in page
    assert "Measure leakage" in page


def test_its_report_can_be_downloaded_by_its_own_organisation(w: make.World, client: Client) -> None:
    job = audit_request(actor=w.engineer, part=w.part(0), size="quick")
    ends(w, job, audit=found())
    address = reverse("runs:audit_report", args=[w.run.id, w.part(0).id, job.subject])
    client.force_login(w.engineer)
    answer = client.get(address)
    assert "73.1 %" in answer.content.decode()
    assert "attachment" in answer["Content-Disposition"]
    client.force_login(member(w.organisations[1], Role.ADMIN))
    assert client.get(address).status_code == 404


def test_it_is_started_from_the_page(w: make.World, client: Client) -> None:
    client.force_login(w.engineer)
    client.post(reverse("runs:audit", args=[w.run.id, w.part(0).id]), {"size": "quick"})
    assert "A quick audit was requested" in privacy_page(w, client)
    client.post(reverse("runs:audit", args=[w.run.id, w.part(1).id]), {"size": "quick"})
    assert list(Job.objects.filter(kind="audit").values_list("participant_id", flat=True)) == [w.part(0).id]


def test_one_that_is_cancelled_is_no_longer_wanted_and_its_late_result_is_not_kept(
    w: make.World, client: Client
) -> None:
    job = audit_request(actor=w.engineer, part=w.part(0), size="full")
    client.force_login(w.engineer)
    client.post(reverse("runs:audit_cancel", args=[w.run.id, w.part(0).id, job.subject]))
    assert "audit" not in [one.kind for one in assignments_for(w.workers[0])]
    ends(w, job, audit=found())
    page = privacy_page(w, client)
    assert "was stopped before its end" in page
    assert "73.1" not in page
    assert "Measure leakage" in page
    [entry] = AuditEntry.objects.filter(action="leakage.audit_cancelled")
    assert (entry.organisation_id, entry.object_id) == (w.organisations[0].id, w.run.id)
    with pytest.raises(AppError, match="CL-1557"):
        audit_cancel(actor=w.engineer, part=w.part(0), subject=job.subject)


def test_one_that_has_ended_keeps_its_result_whoever_cancels_it(w: make.World) -> None:
    job = audit_request(actor=w.engineer, part=w.part(0), size="quick")
    ends(w, job, audit=found())
    with pytest.raises(AppError, match="CL-1557"):
        audit_cancel(actor=w.engineer, part=w.part(0), subject=job.subject)
    job.refresh_from_db()
    assert job.outcome == "done"


def test_who_may_not_audit_may_not_cancel(w: make.World, client: Client) -> None:
    job = audit_request(actor=w.engineer, part=w.part(0), size="quick")
    auditor = member(w.organisations[0], Role.AUDITOR)
    with pytest.raises(AppError, match="CL-1601"):
        audit_cancel(actor=auditor, part=w.part(0), subject=job.subject)
    assert reverse("runs:audit_cancel", args=[w.run.id, w.part(0).id, job.subject]) not in privacy_page(
        w, client, auditor
    )


def test_who_may_not_stop_the_run_may_not_audit_it(w: make.World, client: Client) -> None:
    auditor = member(w.organisations[0], Role.AUDITOR)
    with pytest.raises(AppError, match="CL-1601"):
        audit_request(actor=auditor, part=w.part(0), size="quick")
    assert "disabled" in privacy_page(w, client, auditor)


def test_a_part_without_rows_a_failed_run_and_the_fiftieth_first_are_refused(w: make.World) -> None:
    compute = member(w.organisations[2], Role.ADMIN)
    with pytest.raises(AppError, match="CL-1555"):
        audit_request(actor=compute, part=w.part(2), size="quick")
    part = w.part(0)
    for number in range(AUDITS_MAX):
        Job.objects.create(participant=part, kind="audit", subject=str(number), outcome="done")
    with pytest.raises(AppError, match=str(AUDITS_MAX)):
        audit_request(actor=w.engineer, part=part, size="quick")
    type(w.run).objects.filter(pk=w.run.pk).update(state=RunState.FAILED)
    with pytest.raises(AppError, match="failed or was stopped"):
        audit_request(actor=w.engineer, part=part, size="quick")


def test_one_that_a_stop_of_the_run_overtook_is_not_said_to_go_on(w: make.World, client: Client) -> None:
    audit_request(actor=w.engineer, part=w.part(0), size="quick")
    assert "was requested" in privacy_page(w, client)
    type(w.run).objects.filter(pk=w.run.pk).update(state=RunState.STOPPED)
    assert "was requested" not in privacy_page(w, client)
    with pytest.raises(AppError, match="failed or was stopped"):
        audit_request(actor=w.engineer, part=w.part(0), size="quick")


EARLY = {"at": "0001-01-01T00:00:00+14:00"}  # no moment that a page can show in UTC
NUL = {"attacks": [{"attack": "x", "channel": "hidden", "outcome": "failed", "reason": "a\0b"}]}  # none of a database's


@pytest.mark.parametrize("spoiled", [{"records": -1}, {"attacks": [{}]}, {"rows": ["Ms Quell"]}, EARLY, NUL])
def test_figures_in_another_form_are_refused(w: make.World, spoiled: dict[str, Any]) -> None:
    job = audit_request(actor=w.engineer, part=w.part(0), size="quick")
    told = {
        "participant_id": w.part(0).id,
        "attempt": w.part(0).attempt,
        "outcome": "done",
        "kind": "audit",
        "subject": job.subject,
        "audit": {**found().model_dump(mode="json"), **spoiled},
    }
    answer = give_key(w.workers[0]).post(f"runs/{w.run.id}/exit", told)
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")
    job.refresh_from_db()
    assert job.outcome == ""
