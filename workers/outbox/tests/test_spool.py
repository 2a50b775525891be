"""The spool: numbers without gaps, a local fence, and nothing lost or doubled."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from workers.contracts import Exit, LogPayload, Ready
from workers.outbox.measurements import Measurements, Selection
from workers.outbox.questions import Question, Questions
from workers.outbox.schema import MIGRATIONS
from workers.outbox.spool import Spool, StaleAttemptError


def log(text: str = "hello") -> LogPayload:
    return LogPayload(level="info", message=text)


def write(spool: Spool, attempt: int, text: str = "hello", participant: str = "prt_1") -> int:
    return spool.record(participant_id=participant, attempt=attempt, kind="log", payload=log(text))


def _write_many(path: str, count: int) -> None:
    spool = Spool(Path(path))
    for _ in range(count):
        write(spool, 1)


def test_records_are_numbered_without_gaps_across_attempts_and_restarts(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    assert [write(spool, 1), write(spool, 1)] == [1, 2]
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=2)
    assert write(spool, 2) == 3
    [pending] = spool.pending()
    assert [record.seq for record in pending.records] == [1, 2, 3]
    assert pending.attempt == 2


def test_an_older_attempt_can_write_no_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=2)
    with pytest.raises(StaleAttemptError):
        write(spool, 1)
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    assert write(spool, 2) == 1


def test_a_record_needs_the_payload_of_its_kind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    with pytest.raises(TypeError):
        spool.record(participant_id="prt_1", attempt=1, kind="metric", payload=log())
    assert spool.pending() == []


def test_writers_in_several_processes_leave_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    Spool(path).claim(run_id="run_1", participant_id="prt_1", attempt=1)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(str(path), 40)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    [pending] = Spool(path).pending(limit=500)
    assert [record.seq for record in pending.records] == list(range(1, 121))


def test_what_the_hub_has_is_not_sent_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    for _ in range(5):
        write(spool, 1)
    assert [record.seq for record in spool.pending(limit=2)[0].records] == [1, 2]
    spool.stored("prt_1", 3)
    spool.stored("prt_1", 2)  # an older answer that comes late
    assert [record.seq for record in spool.pending()[0].records] == [4, 5]
    spool.stored("prt_1", 9)  # more than there is
    assert spool.pending() == []
    assert write(spool, 1) == 6
    assert len(spool.pending()[0].records) == 1


def test_messages_keep_their_order_until_they_are_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    ready = Ready(participant_id="prt_1", attempt=1, host="h", port=9100)
    spool.post(run_id="run_1", participant_id="prt_1", kind="ready", attempt=1, body=ready)
    ended = Exit(participant_id="prt_1", attempt=1, outcome="done")
    spool.post(run_id="run_1", participant_id="prt_1", kind="exit", attempt=1, body=ended)
    first, second = spool.outbox()
    assert (first.kind, second.kind) == ("ready", "exit")
    spool.sent(first)
    assert [item.kind for item in Spool(tmp_path / "spool.sqlite3").outbox()] == ["exit"]


def test_a_spool_of_an_earlier_release_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute(
            "INSERT INTO jobs (job_id, run_id, participant_id, kind, state, attempt) VALUES "
            "('prt_1-train', 'run_1', 'prt_1', 'train', 'running', 3)"
        )
    for _ in range(2):
        job = Spool(path).job("prt_1-train")
        assert job is not None
        assert (job.attempt, job.contract_hash, job.party) == (3, "", "")
    assert Spool(path).admitted_contract("run_1") is None


def test_many_may_open_a_spool_at_once(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.sqlite3"
        with ThreadPoolExecutor(8) as pool:
            spools = list(pool.map(lambda _, path=path: Spool(path), range(8)))
        assert all(spool.jobs() == [] for spool in spools)


def test_two_runs_wait_for_the_same_certificate_until_both_have_it(tmp_path: Path) -> None:
    asked, question = Questions(tmp_path / "spool.sqlite3"), Question("certificate", "ab" * 32, "gpu of GPU", "")
    for run in ("run_1", "run_2", "run_1"):
        asked.asked(run, [question])
    assert [row.run_id for row in asked.waiting()] == ["run_1"]
    asked.keep_asking({"run_2"})
    assert [row.run_id for row in asked.waiting()] == ["run_2"]
    asked.asked("run_2", [])
    assert asked.waiting() == []


def test_rows_of_two_versions_that_differ_by_a_few_are_not_both_measured(tmp_path: Path) -> None:
    measured, rows = Measurements(tmp_path / "spool.sqlite3"), [f"{number:016x}" for number in range(40)]
    assert measured.may_measure_rows(Selection("v1", "c1", "a1", rows[:20]), limit=9, least=8)
    assert not measured.may_measure_rows(Selection("v2", "c2", "a1", rows[:22]), limit=9, least=8)
    assert measured.may_measure_rows(Selection("v2", "c2", "a1", rows[:28]), limit=9, least=8)


def test_jobs_that_ended_long_ago_are_not_looked_at_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    for number in (1, 2):
        known = {"job_id": f"job_{number}", "run_id": "run_1", "participant_id": f"prt_{number}", "kind": "train"}
        spool.job_rung(**known, contract_hash="ab" * 32, party="a")
    spool.job_exited("job_2", "done")

    def found(**options: Any) -> list[str]:
        return [row.job_id for row in spool.recent_jobs(**options)]

    assert found(seconds=60) == ["job_1", "job_2"]
    assert found(seconds=60, participant_id="prt_2") == ["job_2"]
    assert found(seconds=-60) == ["job_1"], "what is open is always looked at"
