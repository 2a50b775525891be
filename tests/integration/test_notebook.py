"""The example notebook: short, and every cell runs in order, here with fewer steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "notebook" / "split_fine_tuning.ipynb"


def code_cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_has_forty_lines_of_code_at_most() -> None:
    assert sum(bool(line.strip()) for cell in code_cells() for line in cell.splitlines()) <= 40


def test_its_cells_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    names: dict[str, Any] = {"TARGET": tmp_path}
    for cell in code_cells():
        shorter = cell.replace('"steps": 40', '"steps": 3').replace('ROOT / "var" / "notebook"', "TARGET")
        exec(compile(shorter, NOTEBOOK.name, "exec"), names)  # our own file
    assert names["result"].eval_losses[-1][1] < names["result"].eval_losses[0][1]
    assert "polyline" in names["Curves"](names["result"].train_losses)._repr_svg_()
    assert "expected:" in capsys.readouterr().out
