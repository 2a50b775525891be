"""The loops of the agent beside what may hang or be damaged: a site's own queue, the memory of the hub's audit log."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from processes.redis_server import RedisServer
from splitcore.models.tests.tiny import save_model
from workers.agent import service
from workers.agent.service import Agent
from workers.agent.tests.site import Site, listed
from workers.contracts import Assignments, ChainHead
from workers.data.store import DatasetStore
from workers.doctor import run_checks
from workers.models_registry import ModelRegistry
from workers.settings import WorkerConfig


def add_dataset(site: Site, tmp_path: Path) -> str:
    """Give the site a dataset; returns its digest."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "another", "completion": "b"}\n')
    store = DatasetStore(site.home.root)
    staged = store.stage(path)
    metadata = store.propose(staged.staged_id, "another")
    store.confirm(staged.staged_id, metadata)
    return metadata.digest


def test_the_hello_tells_which_rows_are_here_and_changes_when_they_are_gone(site: Site, tmp_path: Path) -> None:
    agent = Agent(site.home, WorkerConfig.load(site.home))
    already = agent._hello().held
    digest = add_dataset(site, tmp_path)
    assert already is not None
    hello = agent._hello()
    assert hello.held == sorted({*already, digest})
    assert ("another", 1, digest) in {(one.name, one.version, one.digest) for one in hello.held_versions or ()}
    DatasetStore(site.home.root).delete("another", 1)
    assert agent._hello().held == already
    assert {one.digest for one in agent._hello().held_versions or ()} == set(already)


@pytest.mark.parametrize("content", [b"", b'{"name": "bro', b"\xff\xfe"])
def test_a_damaged_version_keeps_no_hello_from_going_out(
    site: Site, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(site.home, WorkerConfig.load(site.home))
    add_dataset(site, tmp_path)
    already = agent._hello().held
    damaged = site.home.root / "datasets" / "broken" / "v1" / "metadata.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(content)
    assert already
    assert [agent._hello().held for _ in range(3)] == [already] * 3
    assert sum(str(damaged) in record.getMessage() for record in caplog.records) == 1, "once is enough"


def test_datasets_that_cannot_be_listed_are_not_told_and_the_hello_goes_out(site: Site) -> None:
    folder = site.home.root / "datasets"
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("not a folder")
    assert Agent(site.home, WorkerConfig.load(site.home))._hello().held is None


def test_beats_and_console_go_on_while_the_site_s_own_queue_hangs(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RedisServer(tmp_path / "own")
    process = own.start()
    monkeypatch.setenv("REDIS_URL", own.url)
    monkeypatch.setattr(service, "CARE_SECONDS", 0.05)
    agent = Agent(site.home, WorkerConfig.load(site.home))
    agent._children._broker.mark()
    monkeypatch.setattr(agent._children, "_slots", [])

    async def longest_gap() -> float:
        caring = asyncio.create_task(agent._care_loop())
        longest, last = 0.0, time.monotonic()
        until = last + 1.5
        while last < until:
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        process.send_signal(signal.SIGCONT)
        caring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caring
        return longest

    try:
        process.send_signal(signal.SIGSTOP)
        assert asyncio.run(longest_gap()) < 0.7, "one question to a hung queue takes a second"
    finally:
        process.send_signal(signal.SIGCONT)
        own.stop()
        agent._hub.close()


def look(site: Site, wanted: Assignments, agent: Agent | None = None) -> Agent:
    """One look at the hub's list."""
    agent = agent or Agent(site.home, WorkerConfig.load(site.home))
    agent._reconciler._ring = lambda *ids: site.rung.append(ids)
    agent._hub.assignments = lambda: wanted  # type: ignore[method-assign]
    asyncio.run(agent._look())
    return agent


def test_a_base_model_that_the_hub_did_not_take_is_told_at_the_next_look(site: Site, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "llama")
    told = ModelRegistry(site.home).add(folder, model_id="acme/tiny")
    look(site, listed())
    look(site, listed())
    assert [body["manifest_hash"] for body in site.hub.bodies("/models")].count(told.manifest_hash) == 1


def with_chain(wanted: Assignments, sequence: int) -> Assignments:
    return wanted.model_copy(update={"chain": ChainHead(sequence=sequence, head=f"{sequence % 10}" * 64)})


@pytest.mark.parametrize("name", ["witness.json", "witness_finding.json"])
def test_a_damaged_memory_of_the_audit_log_keeps_no_job_from_its_start(site: Site, name: str) -> None:
    (site.home.root / name).write_text("{ half of it")
    look(site, with_chain(listed(site.assignment()), 7))
    assert site.rung == [("run_1", "prt_1-train")]
    assert "CL-1449" in [check.code for check in run_checks(site.home)]


def test_a_disk_that_takes_no_memory_of_the_audit_log_keeps_no_job_from_its_start(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workers.witness.replace_private", full)
    look(site, with_chain(listed(site.assignment()), 7))
    assert site.rung == [("run_1", "prt_1-train")]
    assert any("CL-1820" in record.getMessage() for record in caplog.records)


def test_a_process_that_dies_before_the_finding_is_written_asks_the_hub_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubted: list[str] = []
    agent = look(site, with_chain(listed(site.assignment()), 7))
    agent._spool.doubt = doubted.append  # type: ignore[method-assign]
    with monkeypatch.context() as dying:
        dying.setattr("workers.witness.replace_private", dies)
        with pytest.raises(KeyboardInterrupt):
            look(site, with_chain(listed(site.assignment()), 3), agent)
    assert doubted == ["prt_1"]
    look(site, with_chain(listed(site.assignment()), 3), agent)
    look(site, with_chain(listed(site.assignment()), 3), agent)
    assert doubted == ["prt_1", "prt_1"], "again after the death, and then no more"


def dies(*_: Any) -> None:
    raise KeyboardInterrupt
