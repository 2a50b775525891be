"""`cutlayer train`: a whole training on this machine, stopped and resumed, and what it says of bad input."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from splitcore import RunResult
from splitcore.control.events import EvaluationFinished, NonFinite, RowsLeftOut
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows, save_model
from workers.cli import app
from workers.cli.progress import TrainingDisplay

COMMAND = [sys.executable, "-c", "from workers.cli import main; main()"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("train") / "base", "llama")


@pytest.fixture
def site(tmp_path: Path, base: Path) -> Path:
    """A folder with a configuration and two files of rows."""
    config = {
        "model": {"name_or_path": str(base)},
        "split": {"head_layers": 1, "tail_layers": 2},
        "lora": {"rank": 2},
        "training": {"steps": 40, "batch_size": 2, "max_length": 32, "eval_every": 20, "checkpoint_every": 10},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(12)) + "not json\n")
    lines = [f"{row['prompt']};{row['completion']}" for row in rows(12, word="thing")]
    (tmp_path / "b.csv").write_text("\n".join(["question;answer", *lines]))
    return tmp_path


def arguments(site: Path, *more: str) -> list[str]:
    data = ["--data", f"a={site / 'a.jsonl'}", "--data", f"b={site / 'b.csv'}"]
    return ["train", str(site / "run.yaml"), *data, "--out", str(site / "out"), *more]


def run(site: Path, *more: str) -> Result:
    return CliRunner().invoke(app, arguments(site, *more))


def test_a_stopped_training_goes_on_to_an_adapter_that_the_printed_lines_load(site: Path) -> None:
    process = subprocess.Popen([*COMMAND, *arguments(site, "--json")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if '"kind": "step"' in line:
            process.send_signal(signal.SIGINT)
            break
    process.stdout.read()
    assert process.wait() == 130
    assert not (site / "out" / "adapter").exists()

    taken = run(site)
    assert isinstance(taken.exception, AppError)
    assert taken.exception.code == "CL-1011"

    result = run(site, "--resume")
    assert result.exit_code == 0, (result.output, result.exception)
    for words in (
        "resumed after step",
        "Trained: step 40 of 40",
        "held-out loss",
        "1 of 13 rows are skipped",
        "CL-1213",
    ):
        assert words in result.output
    assert not (site / "out" / "checkpoints").exists()
    snippet = "\n".join(re.findall(r"^    (\S.*)$", result.output, flags=re.MULTILINE))
    check = f"{snippet}\nassert any('lora' in name for name, _ in model.named_parameters())"
    exec(compile(check, "snippet", "exec"), {})  # the very lines that a person is told to run


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (["--data", "a=b.csv"], "CL-1010"),
        (["--data", "server=a.jsonl"], "CL-1010"),
        (["--data", "c=nothing.jsonl"], "CL-1010"),
        (["--resume"], "CL-1012"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_its_code(site: Path, change: list[str], code: str) -> None:
    result = run(site, *change)
    assert isinstance(result.exception, AppError), result.output
    assert result.exception.code == code


def test_columns_and_models_are_mended_in_the_configuration(site: Path) -> None:
    (site / "a.jsonl").write_text('{"x": "a", "y": "b"}\n')
    error = run(site).exception
    assert isinstance(error, AppError)
    assert error.code == "CL-1215"
    assert "data: {columns: {prompt: question" in error.remedy


@pytest.mark.parametrize("content", ["model: é".encode("latin-1"), b"a: " + b"x" * 10_000_000, b"[" * 9000])
def test_a_configuration_that_is_no_plain_text_is_refused_with_its_code(site: Path, content: bytes) -> None:
    (site / "run.yaml").write_bytes(content)
    result = run(site)
    assert isinstance(result.exception, AppError), result.output
    assert result.exception.code == "CL-1001"


def test_every_wrong_field_of_the_configuration_is_named(site: Path) -> None:
    (site / "run.yaml").write_text("model: {name_or_path: x}\nlora: {rank: 0}\ntraining: {batch_size: many}\n")
    done = subprocess.run([*COMMAND, *arguments(site)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "CL-1001" in done.stderr
    assert "lora.rank" in done.stderr
    assert "training.batch_size" in done.stderr


def test_rows_that_are_left_out_are_told_and_do_not_count_for_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(["a"], lambda without: 4 - without.get("a", 0)) as display:
        display.take(RowsLeftOut("a", 0, rows=2, held_out=1, max_length=16))
        display.finish(RunResult({}))
    said = " ".join(capsys.readouterr().out.split())
    assert "a: Left out 2 rows to train on and 1 held-out rows: the prompt alone takes up the 16 tokens" in said
    assert "step 0 of 2" in said


def test_a_held_out_loss_that_is_not_available_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(["a"], lambda _: 4) as display:
        display.take(EvaluationFinished("a", 2, loss=None, tokens=7))
        display.take(NonFinite("a", 2, "server", "body", "a", evaluation=True))
    said = " ".join(capsys.readouterr().out.split())
    assert said == "after step 2: the held-out loss of a is unavailable, server had a NaN or infinite value (body)"
