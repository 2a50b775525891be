"""The slot beside training: a process of its own while there are jobs for it, without a GPU and at low priority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from processes.redis_server import plain_url
from workers.agent import slots
from workers.agent.children import Children
from workers.agent.reconciler import Reconciler
from workers.agent.service import Agent
from workers.agent.slots import SlotBeside
from workers.agent.tests.site import JOB, Site, listed
from workers.contracts import API_PREFIX, QUEUE, QUEUE_BESIDE, Desired, Phase
from workers.policy import SitePolicy
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import enrolled_home, wait_for


@pytest.fixture
def busy() -> list[bool]:
    """Whether a job runs beside training: the last entry."""
    return [False]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerHome:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(slots, "RESTART_SECONDS", 0.0)
    return enrolled_home(tmp_path / "home")


@pytest.fixture
def site_children(home: WorkerHome) -> Iterator[Children]:
    """The agent's children, of which the queue alone is started."""
    made = Children(home, WorkerConfig.load(home))
    made.start_queue()
    yield made
    made.stop(grace=5.0)


@pytest.fixture
def slot(home: WorkerHome, busy: list[bool]) -> Iterator[SlotBeside]:
    made = SlotBeside(home, WorkerConfig.load(home).worker_id, is_busy=lambda: busy[-1])
    yield made
    made.end()


def process_of(slot: SlotBeside) -> psutil.Process | None:
    return psutil.Process(slot.process.pid) if slot.process is not None and slot.runs else None


def waiting(made: Children, queue: str) -> int:
    with redis.Redis.from_url(plain_url(made.queue_url)) as client:
        return int(client.llen(queue))


def test_slot_starts_when_it_is_rung_for_and_ends_when_idle(
    site_children: Children, slot: SlotBeside, busy: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site_children.queue_url
    assert not slot.look_after(url)
    assert process_of(slot) is None, "nothing was rung for yet"
    site_children.ring_beside("run_1", "prt_1-verify")
    slot.rung_for()
    assert not slot.look_after(url), "a first start has lost no message"
    process = process_of(slot)
    assert process is not None
    assert process.nice() == slots.BESIDE_NICENESS
    assert process.environ()["CUDA_VISIBLE_DEVICES"] == ""
    wait_for(lambda: waiting(site_children, QUEUE_BESIDE) == 0, seconds=60, what="the bell to be answered")

    busy.append(True)
    monkeypatch.setattr(slots, "BESIDE_SECONDS", 0.0)
    slot.look_after(url)
    busy.append(False)
    monkeypatch.setattr(slots, "BESIDE_SECONDS", 300.0)
    slot.look_after(url)
    assert process_of(slot) == process, "a job was at work, which counts as the bell does"
    monkeypatch.setattr(slots, "BESIDE_SECONDS", 0.0)
    slot.look_after(url)
    wait_for(lambda: process_of(slot) is None, seconds=30, what="the idle process to end")
    assert not slot.look_after(url)
    assert process_of(slot) is None

    monkeypatch.setattr(slots, "BESIDE_SECONDS", 300.0)
    slot.rung_for()
    assert not slot.look_after(url)
    again = process_of(slot)
    assert again is not None
    again.kill()
    again.wait(10)
    assert slot.look_after(url), "killed, it may have lost a message: every bell is rung again"


def test_jobs_for_training_stay_in_their_own_queue(site_children: Children) -> None:
    site_children.ring("run_1", JOB)
    assert (waiting(site_children, QUEUE), waiting(site_children, QUEUE_BESIDE)) == (1, 0)
    site_children.ring_beside("run_1", "prt_1-verify")
    assert (waiting(site_children, QUEUE), waiting(site_children, QUEUE_BESIDE)) == (1, 1)


def test_only_a_kind_that_says_so_is_rung_for_beside_training(site: Site) -> None:
    beside: list[tuple[str, str]] = []
    config = WorkerConfig.load(site.home)
    reconciler = Reconciler(
        site.home,
        config,
        site.spool,
        site.client,
        lambda *ids: site.rung.append(ids),
        ring_beside=lambda *ids: beside.append(ids),
    )
    url = f"{API_PREFIX}/runs/run_1/adapters/adp_1"
    named = {"adapter_id": "adp_1", "adapter_url": url, "adapter_sha256": "ab" * 32}
    reconciler.apply(listed(site.assignment(), site.assignment(kind="verify", **named), site.check_of("adp_1")))
    assert site.rung == [("run_1", JOB), ("run_1", "prt_1-evaluate-adp_1")]
    assert beside == [("run_1", "prt_1-verify-adp_1")]


@pytest.mark.parametrize("wanted", [True, False], ids=["to-do-again", "over"])
def test_nothing_of_an_audit_whose_processes_were_killed_stays(site: Site, wanted: bool) -> None:
    audit = site.assignment(kind="audit", attempt=1, subject="first", spec={"size": "quick"})
    site.spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    reconciler = site.reconciler()
    reconciler.apply(listed(audit))
    [(_, job)] = site.rung
    frames = site.folder(job).out / "audit" / "run" / "audited.frames"
    frames.parent.mkdir(parents=True)
    frames.write_bytes(b"what crossed")
    site.spool.job_running(job, 1)
    reconciler.apply(listed(audit) if wanted else listed())
    assert not frames.exists()
    row = site.spool.job(job)
    assert row is not None
    assert row.state == ("rung" if wanted else "exited")


def test_a_site_that_forbids_audits_says_nothing_against_the_contract_that_it_trains(site: Site) -> None:
    site.home.policy_file.write_text(SitePolicy(audits="forbid").to_yaml())
    site.spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    audit = site.assignment(kind="audit", attempt=1, subject="first", spec={"size": "quick"})
    site.reconciler().apply(listed(audit))
    assert (site.rung, site.hub.bodies("/verdict")) == ([], [])
    assert [(ended["kind"], ended["error"]["code"]) for ended in site.exits()] == [("audit", "CL-1553")]


def test_a_beat_tells_of_the_half_that_trains_and_not_of_the_audit_beside_it(site: Site) -> None:
    site.spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    audit = site.assignment(kind="audit", attempt=1, subject="first", spec={"size": "quick"})
    site.reconciler().apply(listed(site.assignment(), audit))
    for _, job in site.rung:
        site.spool.job_running(job, 1)
    site.spool.job_progress(JOB, phase="training", step=7)
    [lane] = Agent(site.home, WorkerConfig.load(site.home))._lanes()
    assert (lane.participant_id, lane.phase, lane.step) == ("prt_1", Phase.TRAINING, 7)


def test_an_audit_goes_on_while_the_half_beside_it_begins_anew(site: Site) -> None:
    site.spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    asked = {"kind": "audit", "attempt": 1, "subject": "first", "spec": {"size": "quick"}}
    reconciler = site.reconciler()
    reconciler.apply(listed(site.assignment(**asked)))
    [(_, job)] = site.rung
    site.spool.job_running(job, 1)
    with site.folder(job).locked():
        reconciler.apply(listed(site.assignment(**asked, wanted_attempt=2)))
        assert site.folder(job).desired() is Desired.RUNNING
