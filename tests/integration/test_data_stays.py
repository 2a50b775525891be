"""Rows stay where they are: nothing that a data worker sends, and nothing that the hub keeps, holds one.

A site of its own joins through a relay that keeps every byte; its rows are found nowhere else in the world.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

import splitcore
from demo.launch.groups import BASE_MODEL, DemoError
from demo.launch.runs import launch
from demo.launch.stage import Stage
from splitcore.launch import threads
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.session import Session
from tests.integration.conftest import CLOCK_AHEAD, CanarySite, canaries, write_rows
from tests.integration.drills import (
    PATIENCE,
    TRAINING,
    child_of,
    gone,
    halves,
    hub_group,
    hub_variables,
    moment,
    part_of,
    reach,
    reach_step,
    records_of,
    run_of,
    start_run,
)
from tests.integration.search import Needles, joined
from tests.integration.spoiler.sitecustomize import ARMED
from tests.stack import Stack, wait_for
from workers.hub_clock import HubClock
from workers.ledger.book import HUB, Book
from workers.ledger.requests import place_of
from workers.settings import WorkerHome

pytestmark = pytest.mark.integration
STEPS = 40


@pytest.fixture(scope="module")
def finished(stack: Stack, canary_site: CanarySite) -> dict[str, Any]:
    """A run with the canary site that went on while the hub was killed twice, and has ended well."""
    stage = canary_site.stage
    run = start_run(stage, "Drill: data stays", steps=STEPS)
    reach_step(stage, run, 2)
    assert len(halves(stack, canary_site.key, "bank", "compute")) == 3
    child_of(hub_group(stack), "uvicorn").kill()
    wait_for(lambda: httpx.get(f"{stack.url}/health", timeout=2).status_code == 200, what="the web server's return")
    hub, children = stack.groups.children["hub"], hub_group(stack).children(recursive=True)
    hub.kill()
    hub.wait()
    wait_for(lambda: gone(children), seconds=10, what="the end of the hub's other processes")
    stack.groups.start_hub()
    started = datetime.now(UTC)
    wait_for(lambda: all(beat > started for beat in _beats(stage)), seconds=PATIENCE, what="a beat of every agent")
    print(f"hub: every agent was back {(datetime.now(UTC) - started).total_seconds():.1f} s after the hub")
    assert (max(_beats(stage)) - started).total_seconds() < 20
    return reach(stage, run, "done")


def _beats(stage: Stage) -> list[datetime]:
    """When each worker of the run was heard last."""
    rests = {"clinic": "clinic", "bank": "bank", "compute": "compute"}
    told = [stage.parties[party].rest.get(f"/workers/{stage.workers[key]}") for key, party in rests.items()]
    return [moment(worker["last_beat_at"]) for worker in told]


@pytest.mark.promise(25, figure="each record once; back within 20 s")
def test_a_run_goes_on_through_two_deaths_of_the_hub_with_every_record_once(
    canary_site: CanarySite, finished: dict[str, Any]
) -> None:
    assert {part["attempt"] for part in finished["participants"]} == {1}
    assert finished["failure"] is None
    records = records_of(canary_site.stage, finished["id"])
    numbers = [record["seq"] for record in records]  # the log lines of other sites are theirs alone
    assert numbers == sorted(set(numbers))
    steps = Counter((record["party"], record["step"]) for record in records if record["kind"] == "metric")
    parties = {part["party"] for part in finished["participants"]}
    assert steps == Counter({(party, step): 1 for party in parties for step in range(1, STEPS + 1)})


def test_a_leakage_audit_before_any_approval_tells_its_own_organisation_figures_alone(canary_site: CanarySite) -> None:
    stage = canary_site.stage
    training = {**TRAINING, "steps": STEPS}
    run = launch(stage, name="Drill: measured first", trains=("clinic", "bank"), training=training, evaluate=False)
    own, path = stage.parties["clinic"].rest, f"/runs/{run}/audits"
    part = part_of(run_of(stage, run), canary_site.worker)["id"]
    own.post(path, {"size": "quick", "participant": part})
    [told] = wait_for(lambda: [one for one in own.get(path) if one["outcome"]], seconds=PATIENCE, what="the audit")
    assert told["error"] is None, told["error"]
    assert (told["outcome"], told["participant"]) == ("done", part)
    assert told["result"]["records"] >= 12
    assert told["result"]["channels"]
    assert stage.parties["bank"].rest.get(path) == []
    assert run_of(stage, run)["state"] == "awaiting_approval"
    own.post(f"/runs/{run}/stop")


def test_a_site_whose_clock_is_ten_minutes_ahead_tells_its_records_by_the_hub_s(
    stack: Stack, canary_site: CanarySite, finished: dict[str, Any]
) -> None:
    heard = HubClock(WorkerHome(stack.groups.home(canary_site.key)).clock_file)
    assert heard.offset == pytest.approx(-CLOCK_AHEAD, abs=30)  # half an answer's way, on a busy machine
    party = part_of(finished, canary_site.worker)["party"]
    records = records_of(canary_site.stage, finished["id"])
    own = [moment(one["at"]) for one in records if one["kind"] == "metric" and one["party"] == party]
    assert len(own) == STEPS
    slack = timedelta(seconds=60)  # a message's way on a busy machine
    assert moment(finished["started_at"]) - slack < own[0] < own[-1] < moment(finished["ended_at"]) + slack


def test_a_file_with_bad_rows_tells_the_hub_their_number_alone(stack: Stack, canary_site: CanarySite) -> None:
    folder = stack.groups.root / "bad-rows"
    folder.mkdir()
    rows = canaries(6)
    broken = write_rows(folder / "broken.jsonl", rows)
    lines = broken.read_text().splitlines()
    lines[1] = lines[1][:-20]  # no JSON any more
    lines[3] = json.dumps({**rows[3], "completion": ""}, ensure_ascii=False)
    lines[4] = json.dumps({**rows[4], "prompt": rows[4]["prompt"] + "\ud800"})  # half of a surrogate pair
    broken.write_text("\n".join(lines))
    all_bad = write_rows(folder / "bad.jsonl", [{**row, "completion": ""} for row in rows])
    canary_site.rows.extend(rows)
    printed = stack.groups.command(
        canary_site.key, "worker", "data", "add", str(broken), "--name", "half-bad", "--yes", "--eval-fraction", "0"
    )
    assert "half-bad v1" in printed
    with pytest.raises(DemoError, match="CL-1216"):
        stack.groups.command(canary_site.key, "worker", "data", "add", str(all_bad), "--name", "bad", "--yes")
    [told] = [one for one in canary_site.stage.parties["clinic"].rest.get("/datasets") if one["name"] == "half-bad"]
    assert told["versions"][0]["metadata"]["train_rows"] == 3


def test_a_dataset_beyond_the_site_s_quota_is_refused_and_nothing_is_lost(
    stack: Stack, canary_site: CanarySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(stack.groups.root / "more.jsonl", canaries(8))
    environment = stack.groups.worker_environment(canary_site.key) | {"CUTLAYER_DATASET_QUOTA_BYTES": "2000"}
    monkeypatch.setattr(stack.groups, "worker_environment", lambda key: environment)
    before = stack.groups.command(canary_site.key, "worker", "data", "list")
    with pytest.raises(DemoError, match="CL-1220"):
        stack.groups.command(canary_site.key, "worker", "data", "add", str(rows), "--name", "more", "--yes")
    assert stack.groups.command(canary_site.key, "worker", "data", "list") == before


@pytest.mark.promise(10, figure="class and our own line")
def test_an_exception_that_quotes_a_row_reaches_the_hub_as_its_class_and_our_line(
    stack: Stack, canary_site: CanarySite
) -> None:
    armed = stack.groups.home(canary_site.key) / ARMED
    armed.touch()
    run = start_run(canary_site.stage, "Drill: careless exception", steps=STEPS, trains=("clinic",))
    failed = reach(canary_site.stage, run, "failed")
    armed.unlink()
    failure = failed["failure"]
    assert (failure["code"], failure["worker"]) == ("CL-1999", f"{canary_site.key}-worker")
    [event] = [
        record["payload"]["error"]
        for record in records_of(canary_site.stage, run)
        if record["kind"] == "event" and record["payload"]["name"] == "run.failing"
    ]
    assert re.fullmatch(r"ValueError at splitcore/[a-z_/]+\.py:\d+", event["where"])
    log = next((stack.groups.home(canary_site.key) / "jobs" / run).rglob("job.log"))
    assert canary_site.rows[0]["prompt"].split()[0] in log.read_text()  # the raw text is there, at the site


@pytest.mark.promise(7)
def test_recorded_requests_sent_again_are_refused_and_change_nothing(
    stack: Stack, canary_site: CanarySite, finished: dict[str, Any]
) -> None:
    run, stage = finished["id"], canary_site.stage
    requests = [request for link in canary_site.relay.recorded() for request in _requests(link)]
    chosen = {}
    for request in requests:
        target = request.split(b" ", 2)[1].decode().split("?")[0]
        if run in target or target.endswith("/datasets"):
            chosen[target.rpartition("/")[2]] = request
    assert {"claim", "telemetry", "exit", "head", "verified", "datasets"} <= set(chosen)
    before = (run_of(stage, run), len(records_of(stage, run)))
    for name, request in chosen.items():
        with socket.create_connection(("127.0.0.1", stack.groups.hub_port), timeout=30) as link:
            link.sendall(request)
            assert link.recv(64).startswith((b"HTTP/1.1 409", b"HTTP/1.1 401")), name
    assert (run_of(stage, run), len(records_of(stage, run))) == before


def _requests(link: bytes) -> list[bytes]:
    """The HTTP requests of one connection."""
    found, place = [], 0
    while (end := link.find(b"\r\n\r\n", place)) > 0 and re.match(rb"[A-Z]+ /", link[place : place + 12]):
        head = link[place : end + 4]
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        stop = end + 4 + (int(length[1]) if length else 0)
        found.append(link[place:stop])
        place = stop
    return found


@pytest.mark.promise(11, figure="each kind of a whole run, through two deaths of the hub")
def test_the_site_s_ledger_of_a_whole_run_is_what_was_captured_on_its_way_to_the_hub(
    stack: Stack, canary_site: CanarySite, finished: dict[str, Any]
) -> None:
    run, book = finished["id"], Book(WorkerHome(stack.groups.home(canary_site.key)).ledger_file)

    def captured() -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for request in (one for link in canary_site.relay.recorded() for one in _requests(link)):
            method, target, _ = request.decode("latin-1").split(" ", 2)
            of, kind = place_of(method, target.split("?")[0])
            if of == run:
                count, nbytes = found.get(kind, (0, 0))
                found[kind] = (count + 1, nbytes + len(request))
        return found

    def told() -> dict[str, tuple[int, int]]:
        return {line.kind: (line.count, line.nbytes) for line in book.lines(run) if line.receiver == HUB}

    with contextlib.suppress(AssertionError):  # the last message is counted a moment after it was read here
        wait_for(lambda: told() == captured(), seconds=30, what="the last message in the ledger")
    assert told() == captured()
    assert {"verdict", "claim", "telemetry", "segments", "exit", "verified"} <= set(told())


@pytest.mark.promise(9, figure="0 hits: plain, base64, hex, UTF-16, token ids")
def test_no_row_is_in_what_the_site_has_sent(canary_site: CanarySite, finished: dict[str, Any]) -> None:
    sent = canary_site.relay.recorded()
    everything = joined(sent)
    assert b'"name":"canary"' in everything, "the relay has seen the dataset's metadata"
    assert finished["id"].encode() in everything
    assert len(everything) > 500_000, "the relay has seen the adapter's segments"
    assert canary_site.needles().find(everything) == set()


@pytest.mark.promise(9)
def test_no_row_is_in_anything_that_the_hub_keeps(
    stack: Stack, canary_site: CanarySite, finished: dict[str, Any]
) -> None:
    needles = canary_site.needles()
    assert needles.find_in_files(stack.groups.home(canary_site.key) / "datasets"), "at its own site a row is found"
    assert needles.find_in_files(stack.groups.root / "hub") == {}
    assert needles.find_in_files(stack.groups.root / "logs") == {}
    assert canary_site.queue.count(b"\r\n") > 100, "the queue's commands were seen"
    assert needles.find(bytes(canary_site.queue)) == set()
    server = redis.Redis.from_url(hub_variables(stack)["REDIS_URL"])
    assert needles.find(joined([server.dump(key) or b"" for key in server.scan_iter()])) == set()
    stage = canary_site.stage
    told = [json.dumps(records_of(stage, run["id"])) for run in stage.parties["clinic"].rest.get("/runs")["items"]]
    assert needles.find("\n".join(told).encode()) == set()


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_frames_hold_activations_and_labels_only_where_the_contract_says_so(
    topology: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[bytes] = []
    memory_pair = threads.memory_pair

    def keep(frame: bytes) -> list[bytes]:
        frames.append(bytes(frame))
        return [frame]

    def recorded(client: FrameLimits, server: FrameLimits, **options: Any) -> tuple[Session, Session]:
        return memory_pair(client, server, up=keep, down=keep, **options)

    monkeypatch.setattr(threads, "memory_pair", recorded)
    rows = canaries(4)
    config = {
        "model": {"name_or_path": str(BASE_MODEL)},
        "split": {"topology": topology, "head_layers": 1, "tail_layers": 2 if topology == "u_shape" else 0},
        "training": {"steps": 2, "batch_size": 2, "max_length": 96, "eval_every": 0},
    }
    splitcore.fine_tune(splitcore.RunConfig.parse(config), {"a": rows}, out=tmp_path)
    texts, ids = Needles(BASE_MODEL / "tokenizer.json"), Needles(BASE_MODEL / "tokenizer.json")
    for row in rows:
        for text in row.values():
            texts.add_text(text)
            for word in text.split():
                texts.add_text(word)
        ids.add_tokens("".join(row.values()), 1)
    stream = joined(frames)
    assert len(stream) > 100_000
    assert texts.find(stream) == set()
    assert bool(ids.find(stream)) == (topology == "vanilla"), "in the vanilla shape the labels are sent, and found"
