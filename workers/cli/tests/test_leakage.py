"""`cutlayer audit CONFIG --data FILE`, with the demo's model and an attacker in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from splitcore.attacks.choice import LeakChannel
from splitcore.audit.result import AttackResult, AuditResult
from splitcore.errors import AppError
from workers.cli import app
from workers.cli.leakage import _tell
from workers.tests.support import wait_for

runner = CliRunner()
MODEL = Path(__file__).resolve().parents[3] / "demo" / "base_model"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A run that hands out its embeddings."""
    path = tmp_path / "bare.yaml"
    path.write_text(
        f"model: {{name_or_path: '{MODEL}'}}\nsplit: {{head_layers: 0, tail_layers: 1}}\n"
        "training: {batch_size: 8, max_length: 48}\ndata: {columns: {prompt: question, completion: answer}}\n"
    )
    return path


def rows(tmp_path: Path, count: int) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [{"question": f"Who saw Quell-{i}?", "answer": f" Ward {i * 7 % 13} did."} for i in range(count)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_it_measures_reports_and_leaves_no_row_behind(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, report = tmp_path / "scratch", tmp_path / "report.html"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    given = ["audit", str(config), "--data", str(rows(tmp_path, 40)), "--json", "--report", str(report)]
    told = [json.loads(line) for line in runner.invoke(app, given, catch_exceptions=False).stdout.splitlines()]
    assert {line["kind"] for line in told[:-1]} == {"progress"}
    assert told[-1]["kind"] == "result"
    assert told[-1]["valid"]
    assert told[-1]["channels"][0]["figures"]["tokens"]["value"] >= 0.99
    assert "Leakage audit of bare" in report.read_text()
    assert "Quell" not in report.read_text() + json.dumps(told)
    assert not [file for file in scratch.rglob("*") if file.is_file()]


def test_the_reason_why_an_attack_did_not_run_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    why = "The compute organisation is sent the target tokens themselves, so none is left to be found."
    attack = AttackResult(attack="completion", channel=LeakChannel.OUTPUT, outcome="not_run", reason=why)
    result = AuditResult(
        size="quick",
        portfolio=1,
        at=datetime.now(UTC),
        valid=False,
        records=12,
        auxiliary=0,
        epochs=1,
        attacks=[attack],
        controls=[],
        channels=[],
        seconds=1.0,
    )
    _tell(result, None)
    assert why in " ".join(capsys.readouterr().out.split())


def test_an_audit_that_is_ended_leaves_no_row_behind(config: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", "from workers.command import main; main()", "audit", str(config), "--json"]
    child = subprocess.Popen(
        [*command, "--data", str(rows(tmp_path, 40))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert child.stdout is not None
    while "attacking" not in json.loads(child.stdout.readline())["stage"]:
        assert child.poll() is None
    # one that comes while a process is forked may be lost in what Python does after that
    wait_for(lambda: any("splitcore.audit.attacker" in one.cmdline() for one in psutil.Process(child.pid).children()))
    assert [file for file in scratch.rglob("*") if file.is_file()], "frames are there"
    child.terminate()
    try:
        assert child.wait(60) == 130
    finally:
        child.kill()
    assert not [file for file in scratch.rglob("*") if file.is_file()]


def test_too_few_rows_are_refused(config: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["audit", str(config), "--data", str(rows(tmp_path, 5))])
    assert isinstance(result.exception, AppError)
    assert result.exception.code == "CL-1550"


def test_a_report_without_a_folder_is_refused_before_anything_runs(config: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere" / "report.html")
    result = runner.invoke(app, ["audit", str(config), "--data", str(rows(tmp_path, 5)), "--report", missing])
    assert isinstance(result.exception, AppError)
    assert result.exception.code == "CL-1010"
