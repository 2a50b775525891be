"""What the pages of a run say, and to whom."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from interface.tags import number_h
from splitcore.config import RunConfig
from webapp.datasets.models import DatasetVersion
from webapp.fleet.facts import online
from webapp.fleet.models import Worker
from webapp.runs.configure.options import party_options
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.live.entries import entries_of, newest
from webapp.runs.live.eta import progress_of
from webapp.runs.live.page import live_page
from webapp.runs.live.status import status_of
from webapp.runs.models import Participant, Run, RunState
from webapp.runs.selectors import domain_table, inbox_for, needs_action_count, run_get_for
from webapp.runs.services import PartyChoice, approval_decide, run_archive, run_clone, run_draft_save
from webapp.runs.tests import factories as make
from webapp.telemetry.series import latest_losses, series_of, smoothed
from webapp.telemetry.state import lanes_json
from webapp.telemetry.tests.batches import batch, metric
from workers.contracts import ErrorInfo, TelemetryRecord

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def _part(seconds=2.0, phase="training"):
    return Participant(metrics={"seconds": seconds}, phase=phase)


def _run(step, total=1000, trained=timedelta(minutes=10), state=RunState.TRAINING):
    return Run(state=state, step=step, total_steps=total, started_at=NOW - trained, training_at=NOW - trained)


@pytest.mark.parametrize(
    ("run", "parts", "words"),
    [
        (_run(19, trained=timedelta(seconds=38)), [_part()], ""),
        (_run(20, trained=timedelta(seconds=38)), [_part()], "26 min 8 s to 49 min left"),
        (_run(300), [_part()], "about 23 min 20 s left"),
        (_run(300), [_part(), _part(phase="dropped")], "no estimate while a worker is away"),
        (_run(300, state=RunState.PAUSED), [_part()], "no estimate while paused"),
        (_run(900, trained=timedelta(hours=2)), [_part()], "longer than expected"),
        (_run(0, state=RunState.STARTING), [_part()], ""),
    ],
)
def test_the_time_left_follows_the_rules(run, parts, words):
    assert progress_of(run, parts, NOW).words == words


def test_an_ended_run_says_how_long_it_took():
    run = _run(1000, state=RunState.DONE)
    run.ended_at = run.started_at + timedelta(minutes=72)
    assert progress_of(run, []).words == "took 1 h 12 min"


def test_the_status_names_who_acts_next():
    w = make.world()
    make.submit(w)
    make.approve(w, 0, 1)
    status = status_of(w.fresh(), list(w.run.participants.select_related("organisation", "worker")))
    assert status.text == "Waiting for Gamma compute to approve."
    assert status.next_actor == "Gamma compute"


def test_an_evaluation_is_dated_from_its_own_begin():
    w = make.started()
    Run.objects.filter(pk=w.run.pk).update(state=RunState.TRAINING, training_at=NOW - timedelta(hours=1))
    begun = NOW - timedelta(seconds=4)
    Participant.objects.filter(worker=w.workers[0]).update(phase="evaluating", phase_since=begun)
    status = status_of(w.fresh(), list(w.run.participants.select_related("organisation", "worker")))
    assert (status.text, status.since) == ("Evaluating on held-out rows.", begun)


def test_the_run_page_tells_the_first_cause_its_owner_and_the_remedy(client):
    w = make.started()
    make.exit_part(w, 1, "failed", ErrorInfo(code="CL-1820", message="The disk is full.", remedy="Free some space."))
    for place in (0, 2):
        make.exit_part(w, place, "stopped")
    client.force_login(w.approvers[0])
    page = client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    for words in ("Failed at Beta bank", "The disk is full.", "Free some space.", "CL-1820", "What went wrong first"):
        assert words in page


def test_the_page_shows_each_confirmation_of_a_stop(client):
    w = make.started()
    client.force_login(w.engineer)
    client.post(reverse("runs:control", args=[w.run.id, "stop"]), {"reason": "Maintenance"})
    make.exit_part(w, 0, "stopped")
    page = client.get(reverse("runs:live", args=[w.run.id])).content.decode()
    assert "1 of 3 workers have confirmed" in page
    assert "process ended (confirmed)" in page


@pytest.mark.parametrize(
    ("action", "notice", "state"),
    [("pause", "The run is paused", RunState.PAUSED), ("stop", "Stop requested. The run is", RunState.STOPPING)],
)
def test_the_notice_of_an_act_stays_only_while_it_is_true(client, action, notice, state):
    w = make.started()
    client.force_login(w.engineer)
    url = reverse("runs:control", args=[w.run.id, action])
    page = client.post(url, follow=True).content.decode()
    assert notice in page
    assert f'data-true-in="{state}"' in page  # by which the page's script takes it away
    other = make.started(prefix="Other ")
    client.force_login(other.engineer)
    client.post(reverse("runs:control", args=[other.run.id, action]))
    Run.objects.filter(pk=other.run.id).update(state=RunState.STOPPED)
    assert notice not in client.get(reverse("runs:detail", args=[other.run.id])).content.decode()


def test_a_steward_of_the_runs_own_organisation_stops_it(client):
    w = make.started()
    client.force_login(w.approvers[0])
    page = client.post(reverse("runs:control", args=[w.run.id, "stop"]), follow=True)
    assert page.status_code == 200
    assert (w.fresh().state, w.fresh().held_by) == (RunState.STOPPING, [w.run.organisation_id])


def test_what_waits_for_a_person_is_counted_and_listed():
    w = make.world()
    make.submit(w)
    assert [needs_action_count(user) for user in (*w.approvers, w.engineer)] == [1, 1, 1, 0]
    make.approve(w, 0)
    assert needs_action_count(w.approvers[0]) == 0
    lists = inbox_for(w.approvers[0])
    assert "Beta bank" in lists["waiting"][0].text
    assert lists["history"][0].state == "approved"


def test_a_declined_run_waits_for_its_engineer_until_it_is_changed_or_archived():
    w = make.world()
    make.submit(w)
    decline = {"actor": w.approvers[1], "organisation": w.organisations[1], "approve": False}
    approval_decide(run=w.fresh(), contract_hash=w.fresh().contract_hash, reason="At most 10 steps.", **decline)
    assert [needs_action_count(user) for user in (w.approvers[0], w.engineer)] == [0, 1]
    (item,) = inbox_for(w.engineer)["decide"]
    assert (item.url, item.state) == (f"/runs/{w.run.id}", "declined")
    assert item.text.startswith("Beta bank declined: At most 10 steps.")
    run_archive(actor=w.engineer, run=w.fresh())
    assert needs_action_count(w.engineer) == 0


@pytest.mark.parametrize(
    ("state", "words"), [(RunState.STOPPED, "Only finished runs"), (RunState.TRAINING, "adapter yet")]
)
def test_a_run_that_ended_early_promises_no_adapter(client, state, words):
    w = make.started()
    Run.objects.update(state=state)
    client.force_login(w.engineer)
    page = client.get(reverse("runs:artefacts", args=[w.run.id])).content.decode()
    assert words in page
    assert ("yet" in page.partition("No adapter")[2][:5]) == (state == RunState.TRAINING)


def test_the_list_leads_to_archived_runs_when_no_other_is_left(client):
    w = make.started()
    client.force_login(w.engineer)
    lead = "Every run is archived"
    assert lead not in client.get(reverse("runs:list")).content.decode()
    Run.objects.update(state=RunState.STOPPED, is_archived=True)
    page = client.get(reverse("runs:list")).content.decode()
    assert lead in page
    assert "No runs yet" not in page
    assert "/runs?archived=on" in page
    assert w.run.name in client.get("/runs?archived=on").content.decode()


def test_a_draft_is_seen_by_its_own_organisation_alone():
    w = make.world()
    assert run_get_for(user=w.approvers[0], run_id=w.run.id) == w.run
    from django.http import Http404

    with pytest.raises(Http404):
        run_get_for(user=w.approvers[1], run_id=w.run.id)
    make.submit(w)
    assert run_get_for(user=w.approvers[1], run_id=w.run.id) == w.run


def test_the_domain_table_sets_base_alone_and_together_side_by_side():
    w = make.world()
    alone = run_draft_save(
        actor=w.engineer, project=w.project, organisation=w.organisations[0], name="Alone", config=make.config(),
        parties=[
            PartyChoice("client", w.workers[0].id, w.versions[0].id),
            PartyChoice("evaluator", w.workers[1].id, w.versions[1].id),
            PartyChoice("server", w.workers[2].id),
        ],
    )  # fmt: skip
    for run, losses in ((w.run, (1.0, 1.2)), (alone, (0.9, 3.0))):
        table = {
            party: {"base_loss": 4.0, "base_exact_match": 0.0, "loss": loss, "exact_match": 0.5, "rows": 9, "tokens": 9}
            for party, loss in zip(("alpha-clinic", "beta-bank"), losses, strict=True)
        }
        Run.objects.filter(pk=run.pk).update(
            state=RunState.DONE, ended_at=timezone.now(), summary={"evaluation": table}
        )
    table = domain_table(w.project)
    assert [(column.label, column.hint) for column in table.columns] == [
        ("Base model", ""),
        ("Alone", "trained by Alpha clinic"),
        ("First run", "trained by Alpha clinic and Beta bank"),
    ]
    assert [(row.name, row.best) for row in table.rows] == [("Alpha clinic", 1), ("Beta bank", 2)]


def _measured(run, **results):
    """A finished run with loss and exact match by party."""
    table = {
        party: {"base_loss": 4.0, "base_exact_match": 0.0, "loss": loss, "exact_match": match, "rows": 9, "tokens": 9}
        for party, (loss, match) in results.items()
    }
    Run.objects.filter(pk=run.pk).update(state=RunState.DONE, ended_at=timezone.now(), summary={"evaluation": table})


def _alone(w):
    return run_draft_save(
        actor=w.engineer, project=w.project, organisation=w.organisations[0], name="Bank alone", config=make.config(),
        parties=[PartyChoice("client", w.workers[1].id, w.versions[1].id), PartyChoice("server", w.workers[2].id)],
    )  # fmt: skip


def test_where_loss_and_exact_match_disagree_nothing_is_green_and_one_sentence_says_both(client):
    w = make.world()
    alone = _alone(w)
    _measured(w.run, **{"alpha-clinic": (1.0, 0.5), "beta-bank": (0.022, 0.85)})
    _measured(alone, **{"beta-bank": (0.018, 0.73)})
    table = domain_table(w.project)
    assert [row.best for row in table.rows if row.party == "beta-bank"] == [-1]
    assert table.conclusion == (
        "Training together, compared with training alone, was mixed for Beta bank"
        " (exact match 73.0\N{NO-BREAK SPACE}% to 85.0\N{NO-BREAK SPACE}%, loss 0.018 to 0.022)."
    )
    client.force_login(w.engineer)
    page = client.get(reverse("runs:compare"), {"run": [alone.id, w.run.id]}).content.decode()
    assert "“First run”, compared with “Bank alone”, was mixed for Beta bank" in page
    assert page.count("cl-best") == 1, "only the other organisation's row is better on both counts"
    _measured(alone, **{"beta-bank": (0.02204, 0.73)})
    assert "loss 0.022 in both" in domain_table(w.project).conclusion


def test_the_comparison_says_who_took_part_and_on_which_data(client):
    w = make.world()
    alone = _alone(w)
    other = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    DatasetVersion.objects.filter(pk=w.versions[1].pk).update(number=7)
    newer = DatasetVersion.objects.create(dataset=w.versions[0].dataset, number=2, digest="e" * 64, metadata={})
    Participant.objects.filter(run=other, worker=w.workers[0]).update(dataset_version=newer)
    client.force_login(w.engineer)
    answer = client.get(reverse("runs:compare"), {"run": [w.run.id, alone.id, other.id]})
    told = {row.label: row.values for row in answer.context["rows"]}
    assert told["Trained by"] == ["Alpha clinic and Beta bank", "Beta bank", "Alpha clinic and Beta bank"]
    assert [value.rpartition(" ")[2] for value in told["Dataset of Alpha clinic"]] == ["v1", "–", "v2"]
    assert "Dataset of Beta bank" not in told
    assert "settings." not in answer.content.decode()
    same = client.get(reverse("runs:compare"), {"run": [w.run.id, w.run.id]})
    assert len(same.context["runs"]) == 1


def test_a_field_left_at_its_default_does_not_differ_from_the_default_written_out(client):
    w = make.world()
    other = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    written = RunConfig.parse(make.config()).model_dump(mode="json")
    Run.objects.filter(pk=other.pk).update(config=written)
    client.force_login(w.engineer)
    page = client.get(reverse("runs:compare"), {"run": [w.run.id, other.id]}).content.decode()
    assert "None: the organisations, datasets and settings are the same." in page


def test_an_ended_run_has_one_duration_on_every_page(client):
    w = make.world()
    start = NOW - timedelta(minutes=10)
    Run.objects.filter(pk=w.run.pk).update(
        state=RunState.DONE, started_at=start, training_at=start + timedelta(seconds=47),
        ended_at=start + timedelta(seconds=592), step=4, total_steps=4, summary={"seconds": 500.0},
    )  # fmt: skip
    client.force_login(w.engineer)
    page = client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    assert "step 4 of 4 · 100 % · took 9 min 52 s" in page
    other = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    page = client.get(reverse("runs:compare"), {"run": [w.run.id, other.id]}).content.decode()
    assert "9 min 52 s" in page


def test_tile_and_lane_show_the_average_that_the_chart_draws():
    w = make.started()
    losses = {0: [8.0, 4.0, 2.0], 1: [6.0, 3.0, 1.0]}
    for place, values in losses.items():
        part = w.part(place)
        records_store(participant=part, batch=batch(part, *[metric(n, loss=v) for n, v in enumerate(values, start=1)]))
    page = live_page(user=w.engineer, run=w.fresh())
    drawn = [(0.081 * first + 0.09 * second + 0.1 * third) / 0.271 for first, second, third in losses.values()]
    assert [lane["loss"] for lane in page.lanes] == [pytest.approx(drawn[0]), pytest.approx(drawn[1]), None]
    assert page.tiles.loss == pytest.approx(sum(drawn) / 2)


def test_a_fetch_of_the_live_parts_reads_a_bounded_number_of_records(client):
    w = make.started()
    Run.objects.filter(pk=w.run.pk).update(total_steps=1000)
    part = w.part(0)
    for first in range(1, 1001, 500):
        values = [metric(n, loss=2.0 + n % 7) for n in range(first, first + 500)]
        records_store(participant=part, batch=batch(part, *values))
    client.force_login(w.engineer)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(reverse("runs:live", args=[w.run.id])).content.decode()
    reads = [one["sql"] for one in queries if 'FROM "telemetry_record"' in one["sql"]]
    assert reads
    assert [sql for sql in reads if " LIMIT " not in sql] == []
    drawn = smoothed(series_of(w.fresh())[part.party]["loss"])
    assert latest_losses(w.run)[part.party] == pytest.approx(drawn, rel=1e-12)
    assert number_h(drawn, 3) in page


def _answered(w, step, *, base=(), tuned=()):
    part = w.part(0)
    part.refresh_from_db()
    payload = {"prompts": ["red is", "blue is"], "base": list(base), "tuned": list(tuned)}
    told = TelemetryRecord(seq=part.last_seq + 1, kind="sample", step=step, at=timezone.now(), payload=payload)
    records_store(participant=part, batch=batch(part, told))


def test_samples_after_a_resumption_keep_the_base_model_s_answers_and_each_step_has_one_entry(client):
    w = make.started()
    _answered(w, 0, base=["a", "b"])
    _answered(w, 2, base=["a", "b"], tuned=["first", "try"])
    _answered(w, 2, tuned=["second", "attempt"])  # of a half that was started again, and trained step 2 again
    page = live_page(user=w.engineer, run=w.fresh())
    assert [(sample.step, [row["base"] for row in sample.rows]) for sample in page.samples] == [
        (2, ["a", "b"]),
        (0, ["a", "b"]),
    ]
    assert [row["tuned"] for row in page.samples[0].rows] == ["second", "attempt"]
    assert not page.has_more_samples
    Run.objects.filter(pk=w.run.pk).update(total_steps=100)
    for step in range(3, 25):
        _answered(w, step, tuned=["x", "y"])
    client.force_login(w.engineer)
    page = client.get(reverse("runs:live", args=[w.run.id])).content.decode()
    assert "Only the newest 20 are shown" in page
    assert "After step 24" in page
    assert "".join(page.split()).count("Base</span><p>a</p>") == 20, "the first record is not among those shown"


def test_the_list_filters_by_state_and_the_comparison_shows_only_differences(client):
    w = make.world()
    other = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    Run.objects.filter(pk=other.pk).update(name="The other", config=make.config(lora={"rank": 2}))
    client.force_login(w.engineer)
    page = client.get(reverse("runs:list"), {"state": "draft", "q": "other"}).content.decode()
    assert "The other" in page
    assert "First run" not in page
    page = client.get(reverse("runs:compare"), {"run": [w.run.id, other.id]}).content.decode()
    assert "lora.rank" in page
    assert "training.steps" not in page


def _record(seq, kind, organisation="", **payload):
    return {
        "seq": seq, "kind": kind, "step": None, "at": NOW.isoformat(), "party": organisation.lower(),
        "organisation": organisation, "payload": payload,
    }  # fmt: skip


def test_organisations_that_enter_a_phase_together_share_a_line_between_two_events():
    records = [
        _record(1, "phase", "Alpha", phase="training"),
        _record(2, "phase", "Beta", phase="training"),
        _record(3, "phase", "Alpha", phase="evaluating"),
        _record(4, "phase", "Gamma", phase="training"),
        _record(5, "event", "", name="run.paused"),
        _record(6, "phase", "Alpha", phase="training"),
    ]
    entries = entries_of(records)
    assert [(entry.kind, entry.seq, entry.organisation) for entry in entries] == [
        ("phase", 6, "Alpha"),
        ("event", 5, ""),
        ("phase", 4, "Gamma, Beta, Alpha"),
        ("phase", 3, "Alpha"),
    ]


def test_many_phases_crowd_no_event_out_of_the_timeline():
    records = [_record(1, "event", "", name="run.training")]
    records += [_record(seq, "phase", f"O{seq}", phase="training", detail=str(seq)) for seq in range(2, 40)]
    shown = newest(entries_of(records), 10)
    assert [entry.kind for entry in shown] == ["phase"] * 10 + ["event"]


def test_names_stand_once_in_a_sentence_and_parts_of_one_organisation_have_marks_of_their_own():
    w = make.world()
    own = make.WorkerFactory(organisation=w.organisations[1], kind="compute")
    Participant.objects.filter(run=w.run, role="server").update(worker=own, organisation=w.organisations[1])
    run = w.fresh()
    run.state = RunState.TRAINING
    parts = list(run.participants.select_related("organisation", "worker"))
    assert status_of(run, parts).text == "Alpha clinic and Beta bank are training."
    run.state = RunState.STARTING
    for part in parts:
        part.attempt, part.phase = 1, "starting"
    assert status_of(run, parts).text == "Getting ready. Alpha clinic and Beta bank: starting."
    assert [lane["place"] for lane in lanes_json(user=w.engineer, run=run)] == [0, 1, 2]


def test_online_means_the_same_in_the_form_as_on_the_workers_page():
    w = make.world()
    Worker.objects.update(connected_at=None, last_beat_at=timezone.now())
    worker = Worker.objects.get(id=w.workers[2].id)
    [option] = party_options(w.project, w.run).compute
    assert (option.online, online(worker).state) == (False, "offline")
    Worker.objects.update(connected_at=timezone.now())
    worker.refresh_from_db()
    [option] = party_options(w.project, w.run).compute
    assert (option.online, online(worker).state) == (True, "online")
