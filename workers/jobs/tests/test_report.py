"""What the engine tells becomes records that the hub takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from splitcore.control.events import (
    CheckpointChanged,
    EvaluationFinished,
    Event,
    NonFinite,
    PartyLate,
    PhaseChanged,
    RowsLeftOut,
    SampleWritten,
)
from workers.contracts import Phase
from workers.jobs.lines import PHASES, Line
from workers.jobs.report import Reporter
from workers.outbox.measurements import Measurements
from workers.outbox.spool import Spool
from workers.versions import message_form


def lines_after(folder: Path, tell: Callable[[Reporter], object]) -> list[tuple[str, str]]:
    """(level, message) of the lines that a job's reporter has written."""
    spool = Spool(folder / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    job: Any = SimpleNamespace(assignment=SimpleNamespace(participant_id="prt_1"), attempt=1, job_id="job_1")
    tell(Reporter(spool, job))
    records = [record for pending in spool.pending() for record in pending.records if record.kind == "log"]
    return [(record.payload["level"], record.payload["message"]) for record in records]


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (PhaseChanged("a", 0, "loading_model"), "info", "Loading"),
        (CheckpointChanged("a", 20, "saved"), "info", "Checkpoint saved after step 20."),
        (CheckpointChanged("a", 20, "resumed"), "info", "Recovered: continuing from the checkpoint after step 20."),
        (CheckpointChanged("a", 20, "ignored"), "warning", "damaged"),
        (NonFinite("a", 4, "b", "head", "b"), "warning", "The step was skipped: NaN or infinite value (head, b)."),
        (PartyLate("server", 4, ["b"], "pause"), "warning", "b was late. The run pauses."),
        (RowsLeftOut("a", 0, rows=1200, max_length=64), "warning", "Left out 1,200 rows to train on: the prompt alone"),
        (EvaluationFinished("a", 4, loss=2.5, tokens=7), "info", "loss 2.5000, 7 tokens"),
    ],
)
def test_what_the_engine_tells_has_its_line(tmp_path: Path, event: Event, level: str, words: str) -> None:
    [(found, message)] = lines_after(tmp_path, lambda reporter: reporter.emit(event))
    assert found == level
    assert words in message


def test_every_phase_has_its_own_sentence() -> None:
    told_by_the_hub = {Phase.WAITING, Phase.FAILED, Phase.DROPPED}
    assert set(PHASES) == set(Phase) - told_by_the_hub


def test_a_connection_that_breaks_and_comes_back_has_three_lines(tmp_path: Path) -> None:
    def tell(reporter: Reporter) -> None:
        reporter.link(True, False)
        reporter.link(False, False)
        reporter.link(True, True)

    levels, messages = zip(*lines_after(tmp_path, tell), strict=True)
    assert levels == ("info", "warning", "info")
    assert messages[2] == "Reconnected to the compute site."


def test_a_line_that_cannot_be_kept_does_not_end_the_thread_of_the_connection(tmp_path: Path) -> None:
    def tell(reporter: Reporter) -> None:
        Spool(tmp_path / "spool.sqlite3").claim(run_id="run_1", participant_id="prt_1", attempt=2)
        reporter.link(True, False)

    assert lines_after(tmp_path, tell) == []


def test_a_held_out_loss_that_is_not_available_is_told_with_its_party_and_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    job: Any = SimpleNamespace(assignment=SimpleNamespace(participant_id="prt_1"), attempt=1, job_id="job_1")
    reporter = Reporter(spool, job)
    reporter.emit(EvaluationFinished("a", 0, loss=2.5, tokens=7))
    assert Measurements(tmp_path / "spool.sqlite3").last_evaluation("prt_1") == 2.5
    reporter.emit(EvaluationFinished("a", 4, loss=None, tokens=7, rows=3))
    reporter.emit(NonFinite("a", 4, "server", "body", "a", evaluation=True))
    assert Measurements(tmp_path / "spool.sqlite3").last_evaluation("prt_1") is None
    [pending] = spool.pending()
    told = [(record.kind, record.step, record.payload) for record in pending.records if record.kind != "log"][1:]
    assert told == [
        ("eval", 4, {"loss": None, "tokens": 7, "rows": 3, "accuracy": None, "macro_f1": None}),
        (
            "event",
            4,
            {
                "name": "values.not_finite",
                "detail": "server: body, in an evaluation",
                "error": None,
                "source": "server",
                "in_evaluation": True,
            },
        ),
    ]
    [older] = [record for record in pending.records if record.kind == "event"]
    known = message_form(older, 3)["payload"]
    assert set(known) == {"name", "detail", "error"}, "an older hub is strict, and reads the sentence"


def test_what_a_model_wrote_is_told_without_control_characters(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.claim(run_id="run_1", participant_id="prt_1", attempt=1)
    job: Any = SimpleNamespace(assignment=SimpleNamespace(participant_id="prt_1"), attempt=1, job_id="job_1")
    reporter = Reporter(spool, job)
    reporter.emit(SampleWritten("a", 2, index=0, prompt="Say\x00 it", text="a\x07b\ud800\nc" + "d" * 900))
    reporter.close()
    reporter.log(Line("info", "line\x1b[31m"))
    [pending] = spool.pending()
    sample, line = (record.payload for record in pending.records)
    assert (sample["prompts"], sample["tuned"][0][:6], len(sample["tuned"][0])) == (["Say it"], "ab\ncdd", 600)
    assert line["message"] == "line[31m"
