"""Drills on the real system: a silent worker, an older attempt, a stop, a killed half, a policy that says no."""

from __future__ import annotations

import html
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from demo.launch.groups import DemoError
from demo.launch.runs import approve_by_all, launch
from splitcore.errors import CATALOGUE
from tests.integration.conftest import CanarySite
from tests.integration.drills import (
    ENDLESS,
    PATIENCE,
    TRAINING,
    event_of,
    frozen,
    gone,
    halves,
    hub_client,
    moment,
    page_of,
    part_of,
    reach,
    reach_step,
    records_of,
    replaced,
    reviewed,
    run_of,
    start_run,
)
from tests.stack import Stack, wait_for
from workers.contracts import (
    Claim,
    ClaimReply,
    ErrorInfo,
    EventPayload,
    Exit,
    TelemetryBatch,
    TelemetryRecord,
    TelemetryReply,
)
from workers.hub import HubClient, HubError

pytestmark = pytest.mark.integration
SITES = ("clinic", "bank", "compute")


@pytest.fixture(scope="module")
def training_run(stack: Stack) -> str:
    """A run of all three that trains until somebody stops it."""
    run = start_run(stack.stage, "Drill: silence and stop", steps=ENDLESS)
    reach(stack.stage, run, "training")
    return run


def test_a_silent_worker_s_lane_is_dropped_and_comes_back_with_everything_it_has_to_say(
    stack: Stack, training_run: str
) -> None:
    worker = stack.stage.workers["bank"]

    def phase() -> str:
        return str(part_of(run_of(stack.stage, training_run), worker)["phase"])

    with frozen(stack, "bank"):
        wait_for(lambda: phase() == "dropped", seconds=PATIENCE, what="the lane's drop")
        silent_at = part_of(run_of(stack.stage, training_run), worker)["step"]
        assert halves(stack, "bank"), "the half goes on without its agent"
    wait_for(lambda: phase() == "training", seconds=PATIENCE, what="the lane's return")
    party = part_of(run_of(stack.stage, training_run), worker)["party"]

    def caught_up() -> list[dict[str, Any]] | None:
        found = records_of(stack.stage, training_run)
        told = [one["step"] for one in found if one["kind"] == "metric" and one["party"] == party]
        return found if max(told) > silent_at + 3 else None

    records = wait_for(caught_up, seconds=PATIENCE, what="what the worker kept while it was silent")
    assert event_of(records, "participant.dropped")["payload"]["error"]["code"] == "CL-1510"
    assert event_of(records, "participant.returned")["seq"] > event_of(records, "participant.dropped")["seq"]
    numbers = [record["seq"] for record in records]  # the log lines of other sites are theirs alone
    assert numbers == sorted(set(numbers))
    steps = Counter((record["party"], record["step"]) for record in records if record["kind"] == "metric")
    assert set(steps.values()) == {1}
    bank = sorted(step for one, step in steps if one == party)
    assert bank == list(range(1, bank[-1] + 1))
    assert bank[-1] > silent_at


@pytest.mark.promise(29)
def test_a_stop_is_confirmed_by_every_worker_and_keeps_both_checkpoints(stack: Stack, training_run: str) -> None:
    running = halves(stack, *SITES)
    assert len(running) == 3
    asked = datetime.now(UTC)
    stack.stage.parties["bank"].rest.post(f"/runs/{training_run}/stop", {"reason": "A drill."})
    wait_for(lambda: gone(running), seconds=10, what="the end of every half's process")
    processes = (datetime.now(UTC) - asked).total_seconds()
    run = reach(stack.stage, training_run, "stopped", seconds=20)
    confirmed = [moment(part["stop_confirmed_at"]) for part in run["participants"]]
    wanted = moment(event_of(records_of(stack.stage, training_run), "run.stopping")["at"])
    last = (max(confirmed) - wanted).total_seconds()
    print(f"stop: processes gone after {processes:.2f} s, last confirmation after {last:.2f} s")
    assert {part["outcome"] for part in run["participants"]} == {"stopped"}
    assert 0 < last < 10
    for key in SITES:
        [job] = (stack.groups.home(key) / "jobs" / training_run).iterdir()
        assert (job / "stopping").exists(), f"{key}: {(job / 'job.log').read_text()[-3000:]}"
        assert list((job / "checkpoints").glob("step-*")), key


@pytest.mark.promise(28, figure="fenced")
def test_a_worker_that_lost_its_lease_cannot_write_and_a_failure_has_one_cause_for_all(stack: Stack) -> None:
    run = start_run(stack.stage, "Drill: lease and kill", steps=ENDLESS)
    reach(stack.stage, run, "training")
    running = halves(stack, *SITES)
    worker = stack.stage.workers["bank"]
    hub = hub_client(stack, "bank")
    with frozen(stack, "bank"):
        part = part_of(run_of(stack.stage, run), worker)
        reply = hub.call(
            "POST",
            f"/runs/{run}/claim",
            Claim(participant_id=part["id"], contract_hash=run_of(stack.stage, run)["contract_hash"], job_id="drill"),
            reply=ClaimReply,
        )
        assert reply.attempt == part["attempt"] + 1
        before = sum(record["party"] == part["party"] for record in records_of(stack.stage, run))
    _is_refused(hub, run, part["id"], part["attempt"])
    # The agent, back again, still says what its half of the first attempt does: none of it counts.
    reach_step(stack.stage, run, run_of(stack.stage, run)["step"] + 3)
    records = [record for record in records_of(stack.stage, run) if record["party"] == part["party"]]
    assert len([record for record in records if record["kind"] == "metric"]) <= before

    # A trouble that no new attempt would be rid of ends the run for all; here the newest attempt's own holder has it.
    full = ErrorInfo(code="CL-1820", message="The worker's disk is full.", remedy=CATALOGUE["CL-1820"].remedy)
    hub.post(f"/runs/{run}/exit", Exit(participant_id=part["id"], attempt=reply.attempt, outcome="failed", error=full))
    hub.close()
    wait_for(lambda: gone(running), seconds=PATIENCE, what="the end of the other halves")
    reach(stack.stage, run, "failed")
    _one_cause(stack, run)


def _is_refused(hub: HubClient, run: str, participant: str, attempt: int) -> None:
    """A record and an exit of an older attempt meet CL-1503."""
    record = TelemetryRecord(
        seq=10**6, kind="event", at=datetime.now(UTC), payload=EventPayload(name="drill").model_dump()
    )
    with pytest.raises(HubError) as caught:
        hub.call(
            "POST",
            f"/runs/{run}/telemetry",
            TelemetryBatch(participant_id=participant, attempt=attempt, records=[record]),
            reply=TelemetryReply,
        )
    assert (caught.value.code, caught.value.status) == ("CL-1503", 409)
    with pytest.raises(HubError) as caught:
        hub.post(f"/runs/{run}/exit", Exit(participant_id=participant, attempt=attempt, outcome="done"))
    assert (caught.value.code, caught.value.status) == ("CL-1503", 409)


def _one_cause(stack: Stack, run: str) -> None:
    """All three parties read the same first cause, over REST and on the run's page."""
    for key in SITES:
        failure = run_of(stack.stage, run, key)["failure"]
        assert failure["code"] == "CL-1820"
        assert failure["worker"] == "bank-worker"
        assert failure["organisation"] == stack.stage.parties["bank"].name
        assert failure["remedy"] == CATALOGUE["CL-1820"].remedy
        page = html.unescape(page_of(stack, stack.stage.parties[key], f"/runs/{run}"))
        assert all(failure[word] in page for word in ("code", "message", "remedy", "organisation", "worker"))


@pytest.mark.promise(12)
def test_a_contract_that_a_site_forbids_is_refused_there_and_nothing_starts(stack: Stack) -> None:
    stage, policy = stack.stage, stack.groups.home("bank") / "policy.yaml"
    text = "\n".join(line for line in policy.read_text().splitlines() if not line.startswith("min_head_layers"))
    with replaced(policy, f"{text}\nmin_head_layers: 4\n".encode()):
        run = launch(
            stage, name="Drill: policy", trains=("clinic", "bank"), training={**TRAINING, "steps": 5}, evaluate=False
        )
        verdict = reviewed(stage, run)[stage.workers["bank"]]
        assert verdict["accepted"] is False
        [refusal] = verdict["refusals"]
        assert refusal["field"] == "split.head_layers"
        with pytest.raises(DemoError, match="CL-1509"):
            approve_by_all(stage, run)
        found = run_of(stage, run)
        assert found["state"] == "awaiting_approval"
        assert {part["attempt"] for part in found["participants"]} == {0}
        for key in SITES:
            page = html.unescape(page_of(stack, stage.parties[key], f"/runs/{run}/approvals"))
            assert refusal["message"] in page
            assert not (stack.groups.home(key) / "jobs" / run).exists()
        stage.parties["clinic"].rest.post(f"/runs/{run}/stop")
    assert run_of(stage, run)["state"] == "stopped"


def test_a_base_model_that_was_changed_after_its_registration_fails_the_run_before_training(
    stack: Stack, canary_site: CanarySite
) -> None:
    weights = stack.groups.root / f"{canary_site.key}-model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # in the last tensor
    stage = canary_site.stage
    with replaced(weights, bytes(content)):
        run = start_run(stage, "Drill: changed model", steps=ENDLESS, trains=("clinic",))
        failed = reach(stage, run, "failed")
    failure = failed["failure"]
    assert (failure["code"], failure["worker"]) == ("CL-1104", f"{canary_site.key}-worker")
    assert failure["organisation"] == stage.parties["clinic"].name
    assert failure["remedy"]
    assert failed["step"] == 0
    assert not [record for record in records_of(stage, run) if record["kind"] == "metric"]
    page = html.unescape(page_of(stack, stage.parties["compute"], f"/runs/{run}"))
    assert all(failure[word] in page for word in ("code", "message", "remedy", "organisation", "worker"))
    wait_for(lambda: not halves(stack, canary_site.key, "compute"), seconds=PATIENCE, what="the end of both halves")


@pytest.mark.promise(6)
def test_a_worker_revoked_during_training_is_shut_out_at_once_and_the_run_says_so(
    stack: Stack, canary_site: CanarySite
) -> None:
    stage, clinic = canary_site.stage, canary_site.stage.parties["clinic"]
    run = start_run(stage, "Drill: revocation", steps=ENDLESS, trains=("clinic",))
    reach(stage, run, "training")
    running = halves(stack, canary_site.key, "compute")
    assert len(running) == 2
    [control] = canary_site.relay.control_links()
    revoked = time.monotonic()
    clinic.rest.post(f"/workers/{canary_site.worker}/revoke")
    hub = hub_client(stack, canary_site.key)
    with pytest.raises(HubError) as caught:
        hub.assignments()
    hub.close()
    assert (caught.value.code, caught.value.status) == ("CL-1412", 403)
    ended = wait_for(lambda: control.closed_at, seconds=10, what="the end of the control connection")
    assert ended - revoked < 5
    print(f"revocation: the control connection was closed after {ended - revoked:.2f} s")
    failed = reach(stage, run, "failed")
    assert (failed["failure"]["code"], failed["failure"]["worker"]) == ("CL-1412", f"{canary_site.key}-worker")
    wait_for(lambda: gone(running), seconds=PATIENCE, what="the end of both halves")
