"""Segments in, one checked adapter out, and only to whom the contract names."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import timedelta

import pytest
from django.conf import settings
from django.http import Http404
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from splitcore.errors import AppError
from webapp.accounts.scopes import Scope
from webapp.accounts.services import token_create
from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.selectors import adapter_get_for
from webapp.adapters.services.packaging import package_entries
from webapp.adapters.tests.factories import finished, report, upload
from webapp.audit.models import AuditEntry
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import OrganisationFactory, ParticipationFactory, member
from webapp.runs.finishing.handing_out import adapter_download, adapter_for_worker, why_no_download
from webapp.runs.finishing.joining import adapter_join
from webapp.runs.finishing.packaging import CHECK_DEADLINE, adapter_package
from webapp.runs.kinds.checks import AWAY, adapter_verified
from webapp.runs.lifecycle import assignments_for
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.models import Participant, Run, RunState
from webapp.runs.sweeping import sweep
from webapp.runs.tests import factories as make
from webapp.telemetry.tests.batches import batch, metric
from workers.contracts import Check, EvaluationResult, VerifyReport

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hub_watched():
    make.hub_watched()


@pytest.fixture(autouse=True)
def _media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"


def _ready():
    w, adapter = finished()
    for place in (0, 1):
        report(w, place, adapter)
    adapter_package(w.run.id)
    adapter.refresh_from_db()
    return w, adapter


def test_the_joined_adapter_is_loaded_by_every_data_worker_before_it_is_offered():
    w, adapter = finished()
    assert adapter.state == AdapterState.JOINED
    (job,) = assignments_for(w.workers[0])
    assert (job.kind, job.adapter_id, job.adapter_sha256) == ("evaluate", adapter.id, adapter.sha256)
    assert assignments_for(w.workers[2]) == []
    path = adapter_for_worker(worker=w.workers[0], run_id=w.run.id, adapter_id=adapter.id, participant_id=w.part(0).id)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["adapter_config.json", "adapter_model.safetensors"]
    with pytest.raises(AppError) as caught:
        adapter_download(actor=w.approvers[0], adapter=adapter)
    assert caught.value.code == "CL-1704"
    assert "loading the adapter" in why_no_download(adapter)
    report(w, 0, adapter)
    assert assignments_for(w.workers[0]) == []
    adapter_package(w.run.id)
    assert w.fresh().state == RunState.FINISHING  # the other organisation is still measuring
    Participant.objects.filter(pk=w.part(1).pk).update(phase="evaluating")
    report(w, 1, adapter)
    adapter_package(w.run.id)
    assert (w.fresh().state, w.part(1).phase) == (RunState.DONE, "done")
    assert w.run.summary["evaluation"]["beta-bank"]["exact_match"] == 0.6


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_a_worker_that_does_not_load_the_adapter_neither_verifies_nor_fails_it(status):
    w, adapter = finished()
    with pytest.raises(Http404):
        report(w, 2, adapter, status=status)
    adapter.refresh_from_db()
    assert (adapter.state, adapter.reports) == (AdapterState.JOINED, {})
    assert (w.fresh().state, w.run.failure) == (RunState.FINISHING, None)


def test_a_checker_that_was_silent_may_still_report():
    w, adapter = finished()
    long_ago = timezone.now() - 2 * AWAY
    w.run.participants.filter(worker=w.workers[1]).update(phase="dropped", phase_since=long_ago)
    report(w, 1, adapter)
    adapter.refresh_from_db()
    assert list(adapter.reports) == [w.part(1).id]


def test_a_failed_load_check_fails_the_run_and_closes_the_download():
    w, adapter = finished()
    report(w, 0, adapter, status="failed")
    adapter.refresh_from_db()
    assert (adapter.state, w.fresh().state, w.run.failure["code"]) == (AdapterState.FAILED, RunState.FAILED, "CL-1703")
    assert "failed its load check" in why_no_download(adapter)


def test_an_evaluation_that_is_not_finite_fails_the_run_at_once():
    w, adapter = finished()
    result = EvaluationResult(
        base_loss=4.0, base_exact_match=0.0, loss=float("nan"), exact_match=0.0, rows=10, tokens=100
    )
    report = VerifyReport(
        participant_id=w.part(0).id,
        adapter_id=adapter.id,
        adapter_sha256=adapter.sha256,
        checks=[Check(name="every key matched", status="ok")],
        evaluation=EvaluationResult.model_validate_json(result.model_dump_json()),
    )
    adapter_verified(worker=w.workers[0], run_id=w.run.id, report=report)
    assert (w.fresh().state, w.run.failure["code"]) == (RunState.FAILED, "CL-1703")
    assert "not finite" in w.run.failure["message"]
    adapter.refresh_from_db()
    assert [result["loss"] for result in adapter.evaluation.values()] == [None]


def test_figures_of_an_evaluation_are_rounded_and_no_party_measures_anothers_adapter():
    w, adapter = finished()
    exact = EvaluationResult(
        base_loss=4.123456789, base_exact_match=1 / 3, loss=2.987654321, exact_match=2 / 3, rows=9, tokens=9
    )
    report = VerifyReport(
        participant_id=w.part(0).id,
        adapter_id=adapter.id,
        adapter_sha256=adapter.sha256,
        checks=[Check(name="every key matched", status="ok")],
        evaluation=exact,
    )
    of_other = Adapter.objects.create(run=w.run, party=w.part(1).party, state=AdapterState.JOINED, sha256="f" * 64)
    sweep()
    about_other = report.model_copy(update={"adapter_id": of_other.id, "adapter_sha256": of_other.sha256})
    with pytest.raises(Http404):
        adapter_verified(worker=w.workers[0], run_id=w.run.id, report=about_other)
    asked = {place: [job.subject for job in w.part(place).jobs.filter(kind="evaluate")] for place in range(3)}
    assert asked == {0: [adapter.id], 1: [adapter.id, of_other.id], 2: []}
    adapter_verified(worker=w.workers[0], run_id=w.run.id, report=report)
    adapter.refresh_from_db()
    (figures,) = adapter.evaluation.values()
    assert [figures[name] for name in ("base_loss", "base_exact_match", "loss", "exact_match")] == [
        4.1235, 0.3333, 2.9877, 0.6667,
    ]  # fmt: skip


def test_the_archive_is_complete_and_the_same_each_time():
    w, adapter = _ready()
    first = adapter_download(actor=w.approvers[0], adapter=adapter).read_bytes()
    assert hashlib.sha256(first).hexdigest() == adapter.sha256
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        names = archive.namelist()
        sums = dict(reversed(line.split("  ")) for line in archive.read("SHA256SUMS").decode().splitlines())
        for name in names:
            if name != "SHA256SUMS":
                assert hashlib.sha256(archive.read(name)).hexdigest() == sums[name]
        card = archive.read("README.md").decode()
    assert names == sorted(names)
    assert set(names) == {
        "README.md", "SHA256SUMS", "adapter_config.json", "adapter_model.safetensors", "metrics.csv",
        "provenance.json", "training_config.yaml",
    }  # fmt: skip
    assert card.startswith("---\nbase_model: acme/tiny\n")
    from webapp.adapters.services.archives import write_zip

    again = adapter_download(actor=w.approvers[1], adapter=adapter).with_name("again.zip")
    assert write_zip(again, package_entries(adapter))[0] == adapter.sha256


def test_only_the_contracts_recipients_may_download_and_each_download_is_audited():
    w, adapter = _ready()
    adapter_download(actor=w.approvers[1], adapter=adapter)
    entry = AuditEntry.objects.filter(action="adapter.downloaded").get()
    assert (entry.actor_id, entry.organisation_id) == (w.approvers[1].id, w.organisations[1].id)
    partner = OrganisationFactory(name="Partner")
    ParticipationFactory(project=w.project, organisation=partner)
    for user in (w.approvers[2], member(partner), member(w.organisations[0], Role.VIEWER)):
        with pytest.raises(AppError) as caught:
            adapter_download(actor=user, adapter=adapter_get_for(user=user, adapter_id=adapter.id))
        assert caught.value.code == "CL-1601"
    with pytest.raises(Http404):
        adapter_get_for(user=member(OrganisationFactory(name="Stranger")), adapter_id=adapter.id)


def test_the_download_is_an_attachment_that_no_browser_interprets(client):
    w, adapter = _ready()
    client.force_login(w.approvers[0])
    response = client.post(f"/adapters/{adapter.id}/download")
    assert response["Content-Disposition"].startswith("attachment;")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert client.get(f"/adapters/{adapter.id}").status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none", ""])
def test_a_link_downloads_nothing_in_the_readers_name_wherever_it_stands(site):
    w, adapter = _ready()
    client = Client(enforce_csrf_checks=True)
    client.force_login(w.approvers[0])
    address = f"/adapters/{adapter.id}/download"
    answer = client.get(address, headers={"Sec-Fetch-Site": site} if site else {})
    assert (answer.status_code, answer.url) == (302, f"/adapters/{adapter.id}")
    assert client.post(address).status_code == 403, "a form of another page has no token of this session"
    assert not AuditEntry.objects.filter(action="adapter.downloaded").exists()
    client.get(f"/adapters/{adapter.id}")
    button = client.post(address, {"csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME].value})
    assert (button.status_code, button["Content-Type"]) == (200, "application/zip")
    (entry,) = AuditEntry.objects.filter(action="adapter.downloaded")
    assert entry.actor_id == w.approvers[0].id


def test_a_worker_that_is_gone_for_good_is_not_waited_for():
    w, adapter = finished()
    report(w, 0, adapter)
    part = w.part(1)
    Participant.objects.filter(pk=part.pk).update(last_beat_at=timezone.now() - timedelta(minutes=5))
    sweep()
    assert w.part(1).phase == "dropped"
    assert assignments_for(w.workers[1])  # it still may come back
    Participant.objects.filter(pk=part.pk).update(phase_since=timezone.now() - timedelta(minutes=3))
    adapter_package(w.run.id)
    assert w.fresh().state == RunState.DONE
    assert w.run.summary["notes"] == ["No evaluation came from Beta bank."]


def test_a_run_whose_evaluations_never_come_ends_with_a_note():
    w, adapter = finished()
    report(w, 0, adapter)
    Run.objects.filter(pk=w.run.pk).update(state_since=timezone.now() - CHECK_DEADLINE - timedelta(seconds=1))
    adapter_package(w.run.id)
    assert w.fresh().state == RunState.DONE
    assert w.run.summary["notes"] == ["No evaluation came from Beta bank."]


def test_a_join_that_never_succeeds_fails_the_run_at_the_deadline():
    w = make.started()
    for place in range(3):
        make.exit_part(w, place, "done")
    Run.objects.filter(pk=w.run.pk).update(state_since=timezone.now() - CHECK_DEADLINE - timedelta(seconds=1))
    sweep()
    assert (w.fresh().state, w.run.failure["code"]) == (RunState.FAILED, "CL-1705")


def test_a_missing_segment_fails_the_run_with_its_name():
    w = make.started()
    for name in ("head", "tail"):
        upload(w, 0, name)
    for place in range(3):
        make.exit_part(w, place, "done")
    adapter_join(w.run.id)
    assert w.fresh().failure["code"] == "CL-1701"
    assert "body" in w.run.failure["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"PK\x03\x04 not safetensors",
        b"\xff" * 64,
        (2**40).to_bytes(8, "little") + b"{}",
        b"\x02" + b"\0" * 7 + b"{}",
    ],
)
def test_a_file_that_is_not_a_segment_is_refused(body):
    w = make.started()
    with pytest.raises(AppError) as caught:
        upload(w, 0, "head", body)
    assert caught.value.code == "CL-1702"
    assert not w.run.segments.exists()


def test_a_segment_with_another_hash_than_announced_is_refused():
    w = make.started()
    with pytest.raises(AppError) as caught:
        upload(w, 0, "head", sha256="0" * 64)
    assert caught.value.code == "CL-1702"


def test_a_segment_of_an_older_attempt_or_anothers_name_is_refused():
    w = make.started()
    make.claim(w, 0)
    with pytest.raises(AppError) as caught:
        upload(w, 0, "head")
    assert caught.value.code == "CL-1503"
    with pytest.raises(AppError) as caught:
        upload(w, 0, "body", attempt=2)
    assert caught.value.code == "CL-1702"


def test_the_upload_is_cut_off_at_the_limit(settings):
    settings.ARTEFACT_MAX_BYTES = 100
    w = make.started()
    with pytest.raises(AppError) as caught:
        upload(w, 0, "head")
    assert caught.value.code == "CL-1801"
    assert [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()] == []


def test_the_same_segment_again_changes_nothing():
    w = make.started()
    first = upload(w, 0, "head")
    assert upload(w, 0, "head").pk == first.pk


def test_the_archive_holds_each_step_once_also_after_a_recovery():
    w, adapter = _ready()
    part = w.part(0)
    told = [*(metric(n, loss=float(n)) for n in range(1, 5)), metric(5, step=3, loss=30.0)]
    records_store(participant=part, batch=batch(part, *told))
    Run.objects.filter(pk=w.run.pk).update(recoveries=1)
    adapter.refresh_from_db()
    rows = csv.DictReader(io.StringIO(package_entries(adapter)["metrics.csv"].decode()))
    assert [(row["step"], row["loss"]) for row in rows] == [
        ("1", "1.0"), ("2", "2.0"), ("4", "4.0"), ("3", "30.0"),
    ]  # fmt: skip


def test_the_card_names_organisations_and_not_their_parties():
    _, adapter = _ready()
    card = package_entries(adapter)["README.md"].decode()
    assert "| Beta bank | 10 |" in card
    assert (
        "- Alpha clinic and Beta bank → Gamma compute: activations at the first cut (after the first 2 layers" in card
    )
    assert "They can be turned back into text" in card


def test_a_finished_runs_page_links_to_the_download_or_says_who_may(client):
    w, adapter = _ready()
    link = reverse("adapters:download", args=[adapter.id])
    client.force_login(w.approvers[0])
    assert link in client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    client.force_login(w.approvers[2])
    page = client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    assert link not in page
    assert "The contract gives the adapter to Alpha clinic, Beta bank only." in page


@pytest.mark.parametrize(
    ("state", "words"), [(RunState.FAILED, "failed with CL-1701"), (RunState.STOPPED, "was stopped")]
)
def test_a_run_that_has_ended_without_an_adapter_says_so(client, state, words):
    w = make.started()
    Run.objects.filter(pk=w.run.pk).update(state=state, failure={"code": "CL-1701", "message": ""})
    key = download_token(w)
    answer = client.get(f"/api/v1/runs/{w.run.pk}/adapter", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1707")
    assert words in answer.json()["message"]
    assert "clone" in answer.json()["remedy"]


def test_a_run_under_way_says_that_its_adapter_is_not_there_yet(client):
    w = make.started()
    key = download_token(w)
    answer = client.get(f"/api/v1/runs/{w.run.pk}/adapter", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1704")


def download_token(w):
    """A token with which the first organisation's approver downloads."""
    scopes = [Scope.ADAPTERS_DOWNLOAD]
    return token_create(actor=w.approvers[0], organisation=w.organisations[0], name="t", scopes=scopes, days=30)[1]
