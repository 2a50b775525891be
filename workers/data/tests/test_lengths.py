"""How long rows are, and what a run would cut off of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitcore.models.tests.tiny import save_tokenizer
from workers.data.lengths import LengthMeter, Longer
from workers.data.store import DatasetStore


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a tokenizer of one token a letter, and 600 positions."""
    save_tokenizer(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"max_position_embeddings": 600}))
    return tmp_path / "model"


def test_rows_beyond_usual_lengths_and_the_model_s_positions_are_counted(model: Path) -> None:
    meter = LengthMeter(model)
    for prompt, answer in ((10, 10), (10, 300), (300, 10), (700, 10)):
        meter.add({"prompt": "x" * prompt, "completion": "y" * answer})
    meter.add({"messages": [{"role": "user", "content": "x" * 520}, {"role": "assistant", "content": "y"}]})
    meter.add({"text": "z" * 400})
    assert meter.longer() == [
        Longer(256, rows=5, without_target=3),
        Longer(512, rows=2, without_target=2),
        Longer(600, rows=1, without_target=1, is_models=True),
    ]
    assert [one.truncated for one in meter.longer()] == [2, 0, 0]


def test_a_model_that_names_no_positions_leaves_the_usual_lengths(model: Path) -> None:
    (model / "config.json").unlink()
    meter = LengthMeter(model)
    meter.add({"text": "z" * 300})
    assert [(one.length, one.rows) for one in meter.longer()] == [(256, 1), (512, 0)]


def test_a_report_has_them_and_the_metadata_for_the_hub_does_not(model: Path, tmp_path: Path) -> None:
    file, store = tmp_path / "rows.jsonl", DatasetStore(tmp_path / "home")
    file.write_text(json.dumps({"prompt": "x" * 300, "completion": "y"}) + "\n")
    staged = store.stage(file, model_folder=model, tokenizer="acme/tiny")
    longer = [Longer(**one) for one in store.staged_report(staged.staged_id)["longer"]]
    assert longer[0] == Longer(256, rows=1, without_target=1)
    assert "longer" not in store.propose(staged.staged_id, "notes").model_dump()
