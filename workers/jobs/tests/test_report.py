"""What the engine tells becomes records that the hub takes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from splitcore.training.events import EvaluationFinished, NonFinite, SampleWritten
from workers.agent.spool import Spool
from workers.jobs.report import Reporter


def test_a_held_out_loss_that_is_not_available_is_told_with_its_party_and_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    job: Any = SimpleNamespace(assignment=SimpleNamespace(participant_id="prt_1"), attempt=1, job_id="job_1")
    reporter = Reporter(spool, job)
    reporter.emit(EvaluationFinished("a", 0, loss=2.5, tokens=7))
    assert spool.last_evaluation("prt_1") == 2.5
    reporter.emit(EvaluationFinished("a", 4, loss=None, tokens=7, rows=3))
    reporter.emit(NonFinite("a", 4, "server", "body", "a", evaluation=True))
    assert spool.last_evaluation("prt_1") is None
    [pending] = spool.pending()
    told = [(record.kind, record.step, record.payload) for record in pending.records[1:]]
    assert told == [
        ("eval", 4, {"loss": None, "tokens": 7, "rows": 3}),
        ("event", 4, {"name": "values.not_finite", "detail": "server: body, in an evaluation", "error": None}),
    ]


def test_what_a_model_wrote_is_told_without_control_characters(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    job: Any = SimpleNamespace(assignment=SimpleNamespace(participant_id="prt_1"), attempt=1, job_id="job_1")
    reporter = Reporter(spool, job)
    reporter.emit(SampleWritten("a", 2, index=0, prompt="Say\x00 it", text="a\x07b\ud800\nc" + "d" * 900))
    reporter.close()
    reporter.log("line\x1b[31m")
    [pending] = spool.pending()
    sample, line = (record.payload for record in pending.records)
    assert (sample["prompts"], sample["tuned"][0][:6], len(sample["tuned"][0])) == (["Say it"], "ab\ncdd", 600)
    assert line["message"] == "line[31m"
