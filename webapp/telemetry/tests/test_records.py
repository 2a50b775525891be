"""Records are stored once, in order, by their owner alone; and are read back exactly."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from splitcore.errors import AppError
from webapp.fleet.tests.factories import give_key, make_worker
from webapp.orgs.tests.factories import OrganisationFactory, member
from webapp.runs.lifecycle.reporting import batch_store, records_store
from webapp.runs.models import Run, RunState
from webapp.runs.tests.factories import World, claim, long_config, started
from webapp.telemetry.models import Record
from webapp.telemetry.selectors import records_page, records_visible_to
from webapp.telemetry.series import downsample
from webapp.telemetry.services import event_record
from webapp.telemetry.tests.batches import batch, log, metric, record
from workers.contracts import MetricPayload


@pytest.fixture
def w(db) -> World:
    return started(run_config=long_config())


def stored(w: World, place: int = 0) -> list[Record]:
    return list(Record.objects.filter(run=w.run, participant=w.part(place), worker_seq__isnull=False).order_by("seq"))


def gapless(w: World) -> bool:
    numbers = list(Record.objects.filter(run=w.run).order_by("seq").values_list("seq", flat=True))
    return numbers == list(range(1, w.fresh().record_count + 1))


def test_sending_a_batch_again_changes_nothing(w):
    part = w.part(0)
    first = records_store(participant=part, batch=batch(part, metric(1), metric(2)))
    count, summary = Record.objects.count(), w.fresh().summary
    again = records_store(participant=part, batch=batch(part, metric(1), metric(2)))
    assert first.stored_through == again.stored_through == 2
    assert Record.objects.count() == count
    assert w.fresh().summary == summary
    assert gapless(w)


def test_records_beyond_a_gap_wait_for_what_is_missing(w):
    part = w.part(0)
    reply = records_store(participant=part, batch=batch(part, metric(1), metric(3), metric(4)))
    assert reply.stored_through == 1
    reply = records_store(participant=part, batch=batch(part, metric(2), metric(3), metric(4)))
    assert reply.stored_through == 4
    assert [row.worker_seq for row in stored(w)] == [1, 2, 3, 4]


def test_message_of_an_older_or_invented_attempt_is_fenced(w):
    part = w.part(0)
    claim(w, 0)
    for attempt in (part.attempt, part.attempt + 5):
        with pytest.raises(AppError, match="CL-1503"):
            records_store(participant=part, batch=batch(part, metric(1), attempt=attempt))
    assert stored(w) == []


def test_first_metric_moves_the_run_to_training_and_fills_the_lane(w):
    part = w.part(0)
    records_store(participant=part, batch=batch(part, metric(1), metric(2)))
    part = w.part(0)
    assert w.fresh().state == RunState.TRAINING
    assert part.step == 2
    assert part.metrics["bytes_up"] == 200
    assert gapless(w)


def test_numbers_that_are_not_finite_are_stored_as_null(w):
    part = w.part(0)
    worst = MetricPayload(loss=float("nan"), grad_norm=float("inf"), learning_rate=1e300)
    records_store(participant=part, batch=batch(part, metric(1, **worst.model_dump())))
    payload = stored(w)[0].payload
    assert [payload[name] for name in ("loss", "grad_norm", "learning_rate")] == [None, None, None]


@pytest.mark.parametrize(
    "bad",
    [
        record(1, "metric", row="Patient Mary Canary"),
        record(1, "event", name="x" * 500),
        record(1, "log", level="info", message="x" * 5000),
        record(1, "sample", prompts=["p"] * 50),
        record(1, "phase", phase="reading mail"),
    ],
)
def test_payload_outside_its_schema_is_refused_without_repeating_it(w, bad):
    part = w.part(0)
    with pytest.raises(AppError, match="CL-1415") as caught:
        records_store(participant=part, batch=batch(part, bad))
    assert "Canary" not in json.dumps(caught.value.to_dict())
    assert stored(w) == []


def test_another_workers_part_does_not_exist_for_a_worker(w):
    stranger = make_worker(OrganisationFactory())
    part = w.part(0)
    for signer in (stranger, give_key(w.workers[1])):
        answer = signer.post(f"runs/{w.run.id}/telemetry", batch(part, metric(1)))
        assert answer.status_code == 404
        assert answer.json()["code"] == "CL-1404"
    assert stored(w) == []
    own = give_key(w.workers[0]).post(f"runs/{w.run.id}/telemetry", batch(part, metric(1)))
    assert own.json() == {"stored_through": 1, "desired": "running"}


def test_hub_events_and_records_share_one_gapless_numbering(w):
    part = w.part(0)
    for number in range(1, 4):
        event_record(run=w.run, name="something.happened")
        records_store(participant=part, batch=batch(part, metric(number)))
    assert gapless(w)


@pytest.mark.django_db(transaction=True)
def test_numbering_has_no_gap_when_parties_send_at_once():
    w = started(run_config=long_config())
    parts = [w.part(place) for place in range(3)]

    def send(place: int) -> None:
        try:
            for number in range(1, 9):
                batch_store(
                    worker=w.workers[place],
                    run_id=w.run.id,
                    batch=batch(parts[place], metric(number), log(number, "x")),
                )
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(send, range(3)))
    assert gapless(w)
    assert [len(stored(w, place)) for place in range(3)] == [8, 8, 8]


def test_log_lines_of_another_organisation_are_left_out(w):
    for place in range(2):
        part = w.part(place)
        records_store(participant=part, batch=batch(part, log(1, f"line of {place}"), metric(2)))
    own = records_visible_to(w.approvers[1], w.run)
    assert [row.payload["message"] for row in own.filter(kind="log")] == ["line of 1"]
    assert own.filter(kind="metric").count() == 2


def test_the_logs_page_shows_own_lines_by_level_and_worker(w):
    for place in range(2):
        part = w.part(place)
        records = [log(1, f"line of {place}"), record(2, "log", level="warning", message=f"warning of {place}")]
        records_store(participant=part, batch=batch(part, *records))
    browser = Client()
    browser.force_login(w.approvers[1])
    page = f"/runs/{w.run.id}/logs"

    def shown(**wanted: str) -> set[str]:
        text = browser.get(page, wanted).content.decode()
        return {words for words in ("line of 0", "line of 1", "warning of 0", "warning of 1") if words in text}

    assert shown() == {"line of 1", "warning of 1"}
    assert shown(level="warning") == {"warning of 1"}
    assert shown(part=w.part(1).id) == {"line of 1", "warning of 1"}
    assert shown(part=w.part(0).id) == set()
    assert shown(level="no such level") == {"line of 1", "warning of 1"}
    assert w.part(0).worker.name not in browser.get(page).content.decode().split("</select>")[1]


def test_pages_cover_every_number_in_order_even_where_lines_are_left_out(w):
    part = w.part(0)
    records_store(participant=part, batch=batch(part, *[log(n, "secret") for n in range(1, 30)]))
    records_store(participant=part, batch=batch(part, metric(30), metric(31)))
    seen, since = [], 0
    while True:
        page = records_page(user=w.approvers[1], run=w.run, since=since, limit=3)
        seen += [entry["seq"] for entry in page.records]
        assert page.through >= since
        since = page.through
        if page.through >= page.last:
            break
    visible = records_visible_to(w.approvers[1], w.run).values_list("seq", flat=True)
    assert seen == list(visible)


def test_snapshot_and_back_fill_over_http(w, client: Client):
    part = w.part(0)
    records_store(participant=part, batch=batch(part, metric(1), record(2, "eval", loss=2.5, tokens=7), log(3, "own")))
    client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    shown = client.get(f"/runs/{w.run.id}/snapshot.json").json()
    assert shown["seq"] == w.fresh().record_count
    assert shown["series"][part.party]["loss"][0][:2] == [1, 2.99]
    assert shown["series"][part.party]["eval_loss"][0][1] == 2.5
    assert shown["logs"][0]["payload"]["message"] == "own"
    assert [lane["mine"] for lane in shown["lanes"]].count(True) == 1
    records_store(participant=part, batch=batch(part, metric(4)))
    more = client.get(f"/runs/{w.run.id}/records.json?since={shown['seq']}").json()
    assert [entry["seq"] for entry in more["records"][:-1]] == [shown["seq"] + 1]
    assert more["records"][-1]["kind"] == "state"


@pytest.mark.parametrize("name", ["snapshot.json", "records.json", "metrics.csv", "metrics.json"])
def test_stranger_gets_404(w, client: Client, name):
    client.force_login(member(OrganisationFactory()), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/runs/{w.run.id}/{name}").status_code == 404


def test_exports_have_every_point_and_no_formula(w, client: Client):
    part = w.part(0)
    Run.objects.filter(pk=w.run.pk).update(name="x")
    organisation = part.organisation
    organisation.name = '=HYPERLINK("http://evil.example")'
    organisation.save()
    records_store(participant=part, batch=batch(part, *[metric(n) for n in range(1, 201)]))
    client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(f"/runs/{w.run.id}/metrics.csv")
    assert "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert [int(row["step"]) for row in rows] == list(range(1, 201))
    assert all(row["organisation"].startswith("'=") for row in rows)
    listed = json.loads(b"".join(client.get(f"/runs/{w.run.id}/metrics.json")))
    assert [entry["payload"]["loss"] for entry in listed] == [float(row["loss"]) for row in rows]


def test_downsampling_is_exact_below_the_bound_and_keeps_extremes_above():
    short = [(n, float(n), 0.0) for n in range(2000)]
    assert downsample(short) is short
    long = [(n, 1.0, 0.0) for n in range(100_000)]
    long[54_321], long[76_543] = (54_321, 99.0, 0.0), (76_543, -99.0, 0.0)
    shown = downsample(long)
    assert len(shown) <= 2000
    assert {99.0, -99.0} <= {value for _, value, _ in shown}
    assert (shown[0], shown[-1]) == (long[0], long[-1])
    assert [step for step, _, _ in shown] == sorted(step for step, _, _ in shown)


def test_a_held_out_loss_that_is_not_available_is_no_point_of_the_curve_and_leaves_the_runs_mean_open(
    w, client: Client
):
    part = w.part(0)
    told = record(3, "event", name="values.not_finite", detail=f"{part.party}: head, in an evaluation")
    evaluations = [record(1, "eval", loss=2.5, tokens=7), record(2, "eval", loss=None, tokens=7)]
    records_store(participant=part, batch=batch(part, *evaluations, told))
    records_store(participant=w.part(1), batch=batch(w.part(1), record(1, "eval", loss=2.0, tokens=3)))
    assert [w.fresh().summary[name] for name in ("loss_before", "loss_after")] == [pytest.approx(2.35), None]
    client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    shown = client.get(f"/runs/{w.run.id}/snapshot.json").json()
    assert [point[1] for point in shown["series"][part.party]["eval_loss"]] == [2.5]
    assert "in an evaluation" in client.get(f"/runs/{w.run.id}").content.decode()


@pytest.mark.promise(30)
@pytest.mark.parametrize(("minutes", "is_kept"), [(10, False), (-10, True), (-60 * 24 * 3, False)])
def test_a_record_is_never_dated_in_the_future_nor_days_before_its_run(w, minutes, is_kept):
    part, said = w.part(0), timezone.now() + timedelta(minutes=minutes)
    before = timezone.now()
    records_store(participant=part, batch=batch(part, metric(1).model_copy(update={"at": said})))
    [row] = stored(w)
    assert (row.at == said) == is_kept
    assert is_kept or before <= row.at <= timezone.now()
