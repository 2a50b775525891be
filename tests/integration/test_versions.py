"""Hub and worker of different versions: either may be upgraded first, and where that cannot be, nothing is lost.

The worker's own client and sender speak to the hub's own views; of either end a version is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from django.test import Client

from splitcore.bounds import Short
from splitcore.errors import AppError
from splitcore.wire.transport.certificates import load_identity
from webapp.fleet import protocol
from webapp.fleet.models import Worker
from webapp.fleet.tests.factories import fingerprint_of
from webapp.fleet.worker_api import runs
from webapp.runs.tests.factories import World, started
from webapp.telemetry.models import Record
from workers import contracts, enrol, hub, versions
from workers.contracts import HEADER_PROTOCOL, Assignments, Claim, ClaimReply, Exit, LogPayload, Since
from workers.enrol import JoinOptions, join, rotate_key
from workers.hub import HubClient, HubError, Signer
from workers.outbox.sender import Sender
from workers.outbox.spool import Spool
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import HUB_KEY_PEM, Answer, FakeHub, enrolled_home, fake_hub

pytestmark = pytest.mark.django_db
NOW = contracts.PROTOCOL_VERSION


class ClaimOfTomorrow(Claim):
    """A claim with a field that the hub of today does not know."""

    colour: Annotated[Short, Since(NOW + 1)] = "blue"


class AssignmentsOfTomorrow(Assignments):
    """An answer with a field that the worker of today does not know."""

    colour: Annotated[Short, Since(NOW + 1)] = "blue"


ENROLMENT: dict[str, Any] = {
    "worker_id": "wrk_own",
    "worker_name": "worker-a",
    "kind": "data",
    "organisation_id": "org_own",
    "organisation_name": "Hospital A",
    "hub_public_key_pem": HUB_KEY_PEM,
    "beat_seconds": 5,
}


@dataclass
class Site:
    """A worker's client, whose requests go through the hub's own views, and all of them."""

    w: World
    client: HubClient
    spool: Spool
    sent: list[httpx.Request] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)

    def claim(self, kind: type[Claim] = Claim) -> ClaimReply:
        """Take the part of the first data organisation."""
        part = self.w.part(0)
        message = kind(
            participant_id=part.id, contract_hash=self.w.run.contract_hash, job_id="j", highest_attempt=part.attempt
        )
        return self.client.call("POST", f"/runs/{self.w.run.id}/claim", message, reply=ClaimReply)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    w = started()
    home = enrolled_home(tmp_path)
    identity, row = load_identity(home.keys), w.workers[0]
    Worker.objects.filter(pk=row.pk).update(certificate_pem=identity.certificate_pem, fingerprint=identity.fingerprint)
    client = HubClient("http://testserver", Signer(identity, row.id))
    made = Site(w, client, Spool(home.spool_file))

    def pass_on(request: httpx.Request) -> httpx.Response:
        answer = Client().generic(
            request.method,
            request.url.raw_path.decode(),
            request.content,
            content_type="application/json",
            headers=dict(request.headers),
        )
        made.sent.append(request)
        made.got.append(answer.json())
        return httpx.Response(answer.status_code, headers=dict(answer.headers), stream=httpx.ByteStream(answer.content))

    client._http = httpx.Client(transport=httpx.MockTransport(pass_on), base_url="http://testserver")
    yield made
    client.close()


def worker_is_of(version: int, monkeypatch: pytest.MonkeyPatch, *, oldest: int = 2) -> None:
    """Make the worker's code of another version."""
    for module in (contracts, versions, hub, enrol):
        monkeypatch.setattr(module, "PROTOCOL_VERSION", version, raising=module is not enrol)
        monkeypatch.setattr(module, "OLDEST_PROTOCOL", oldest, raising=False)


def hub_is_of(oldest: int, newest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the hub's code of other versions."""
    monkeypatch.setattr(protocol, "OLDEST", oldest)
    monkeypatch.setattr(protocol, "NEWEST", newest)


def test_newer_worker_takes_its_part_at_an_older_hub_and_learns_its_version(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_is_of(NOW + 1, monkeypatch)
    assert site.claim(ClaimOfTomorrow).attempt == 2
    assert [request.content.count(b"colour") for request in site.sent] == [1, 0], "refused once, then written anew"
    assert site.got[0]["code"] == "CL-1407"
    assert site.client.hub_protocol == NOW
    assert site.claim(ClaimOfTomorrow).attempt == 3
    assert len(site.sent) == 3, "from then on it writes what the hub knows"


def test_worker_behind_a_newer_hub_is_told_what_it_knows_and_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_is_of(2, NOW + 1, monkeypatch)
    monkeypatch.setattr(runs, "Assignments", AssignmentsOfTomorrow)
    assert len(site.client.assignments().assignments) == 1
    assert "colour" not in site.got[0]
    assert "chain" in site.got[0]
    assert site.client.hub_protocol == NOW + 1
    assert site.claim().attempt == 2


def test_worker_of_before_versions_were_told_gets_no_field_that_came_later(site: Site) -> None:
    """Version 2 refuses unknown keys of its hub: what it gets must have none."""
    path = f"{contracts.API_PREFIX}/assignments"
    headers = site.client.signer.headers("GET", path)
    del headers[HEADER_PROTOCOL]
    answer = site.client._http.get(path, headers=headers)
    assert answer.status_code == 200
    assert set(answer.json()) == {"assignments", "hub_time", "settled"}


def test_records_and_exit_wait_while_hub_and_worker_share_no_version(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = site.w.part(0)
    site.spool.claim(run_id=site.w.run.id, participant_id=part.id, attempt=part.attempt)
    line = LogPayload(level="info", message="kept")
    site.spool.record(participant_id=part.id, attempt=part.attempt, kind="log", payload=line)
    told = Exit(participant_id=part.id, attempt=part.attempt, outcome="done")
    site.spool.post(run_id=site.w.run.id, participant_id=part.id, kind="exit", attempt=part.attempt, body=told)
    sender = Sender(site.spool, site.client, lambda *told: None)
    with monkeypatch.context() as newer:
        hub_is_of(NOW + 5, NOW + 6, newer)
        for _ in range(12):
            with pytest.raises(HubError) as caught:
                sender.send_all()
        assert caught.value.code == "CL-1407"
        assert caught.value.transient
        assert f"2 to {NOW}" in caught.value.message
        assert f"{NOW + 5} to {NOW + 6}" in caught.value.message
        assert "the worker" in caught.value.remedy
    assert not Record.objects.filter(run=site.w.run, kind="log").exists()
    sender.send_all()
    assert [row.payload["message"] for row in Record.objects.filter(run=site.w.run, kind="log")] == ["kept"]
    assert site.spool.outbox() == []


def test_hub_that_is_too_old_for_the_worker_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_is_of(NOW + 9, monkeypatch, oldest=NOW + 8)
    with pytest.raises(HubError) as caught:
        site.client.assignments()
    assert caught.value.code == "CL-1407"
    assert f"{NOW + 8} to {NOW + 9}" in caught.value.message
    assert "Upgrade Cutlayer on the hub" in caught.value.remedy


class HubOfVersion2(FakeHub):
    """Refuses what version 2 does not know, and tells no version."""

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """As the hub before version 3."""
        if path.endswith("/enrol") and body["protocol"] != 2:
            return 400, {"code": "CL-1407", "message": "The worker speaks another version.", "remedy": "Upgrade."}
        if path.endswith("/claim") and "highest_attempt" in body:
            return 422, {"code": "CL-1415", "message": "m", "remedy": "r", "details": {"problems": ["x"]}}
        if path.endswith("/enrol"):
            told = ENROLMENT | {"fingerprint": fingerprint_of(body["certificate_pem"])}
            return 200, told | {"hub_time": datetime.now(UTC).isoformat()}
        return super().answer(method, path, body)


def test_worker_joins_a_hub_of_version_2_and_claims_there(tmp_path: Path) -> None:
    with fake_hub(HubOfVersion2()) as old:
        home = WorkerHome(tmp_path)
        config, _ = join(home, old.url, "clw_x", JoinOptions())
        client = HubClient.of(home, config)
        claim = Claim(participant_id="prt_1", contract_hash="ab" * 32, job_id="j", highest_attempt=4)
        assert client.call("POST", "/runs/run_1/claim", claim, reply=ClaimReply).attempt == 1
        assert client.hub_protocol == 2
        assert client.call("POST", "/runs/run_1/claim", claim, reply=ClaimReply).attempt == 2
        client.close()


def test_refusal_of_an_enrolment_names_both_versions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_is_of(NOW + 5, NOW + 6, monkeypatch)
    facts = contracts.WorkerFacts(cutlayer="1")
    request = contracts.EnrolRequest(token="clw_x", certificate_pem="pem", facts=facts, sent_at=datetime.now(UTC))
    refused = site.client._http.post(f"{contracts.API_PREFIX}/enrol", content=request.model_dump_json()).json()
    assert refused["code"] == "CL-1407"
    assert f"versions up to {NOW}" in refused["message"]
    assert f"{NOW + 5} to {NOW + 6}" in refused["message"]
    assert "on the worker" in refused["remedy"]


def test_the_doors_still_refuse_a_key_that_no_version_knows(site: Site) -> None:
    part = site.w.part(0)

    class Odd(Claim):
        row: Short = "Patient Mary Canary"

    message = Odd(participant_id=part.id, contract_hash=site.w.run.contract_hash, job_id="j")
    with pytest.raises(AppError) as caught:
        site.client.call("POST", f"/runs/{site.w.run.id}/claim", message, reply=ClaimReply)
    assert caught.value.code == "CL-1415"


def test_newer_fields_are_left_out_at_every_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    class LogOfTomorrow(LogPayload):
        colour: Annotated[Short, Since(NOW + 1)] = "blue"

    monkeypatch.setitem(contracts.PAYLOADS, "log", LogOfTomorrow)
    worker_is_of(NOW + 1, monkeypatch)
    payload = LogOfTomorrow(level="info", message="m").model_dump()
    record = contracts.TelemetryRecord(seq=1, kind="log", at=datetime.now(UTC), payload=payload)
    batch = contracts.TelemetryBatch(participant_id="p", attempt=1, records=[record])
    assert versions.message_form(batch, NOW)["records"][0]["payload"] == {"level": "info", "message": "m"}
    assert versions.message_form(batch, NOW + 1)["records"][0]["payload"]["colour"] == "blue"


def test_the_worker_changes_its_key_with_the_new_keys_own_word(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, row = WorkerHome(tmp_path), site.w.workers[0]
    config = WorkerConfig.load(home)
    enrolment = config.enrolment.model_copy(update={"worker_id": row.id, "organisation_id": row.organisation_id})
    config.model_copy(update={"enrolment": enrolment}).save(home)
    monkeypatch.setattr(HubClient, "of", lambda *_told: site.client)
    before = load_identity(home.keys).fingerprint
    config = rotate_key(home)
    row.refresh_from_db()
    assert row.fingerprint == load_identity(home.keys).fingerprint == config.enrolment.fingerprint != before
