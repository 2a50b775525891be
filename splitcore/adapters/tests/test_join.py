"""Joining segments: what is checked before anything is released."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from splitcore.adapters.join import join_segments
from splitcore.adapters.segments import SegmentInfo, segment_files, write_folder
from splitcore.errors import AppError

KEY = "base_model.model.model.layers.{}.q_proj.lora_{}.weight"
Tensors = dict[str, np.ndarray]


def segment(folder: Path, role: str, start: int, end: int, **changes: object) -> Path:
    """A segment of a model of three layers."""
    rank = int(str(changes.pop("rank", 2)))
    change = changes.pop("change", None)
    tensors: Tensors = {}
    for layer in range(start, end):
        tensors[KEY.format(layer, "A")] = np.full((rank, 4), layer, dtype=np.float32)
        tensors[KEY.format(layer, "B")] = np.zeros((3, rank), dtype=np.float32)
    if callable(change):
        change(tensors)
    facts = {"party": "a", "step": 5, "model": "tiny/model", "revision": "r1", "manifest": None, **changes}
    info = SegmentInfo(role=role, start=start, end=end, total=3, **facts)  # type: ignore[arg-type]
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "target_modules": ["q_proj"], "revision": None}
    write_folder(folder / role, segment_files(info, config, save(tensors)))
    return folder / role


def parts(folder: Path, **changes: object) -> list[Path]:
    """Head, body (which takes the changes) and tail."""
    return [
        segment(folder, "tail", 2, 3),
        segment(folder, "head", 0, 1),
        segment(folder, "body", 1, 2, **changes),
    ]


def test_segments_become_one_peft_folder(tmp_path: Path) -> None:
    report = join_segments(parts(tmp_path), tmp_path / "out", expected_model="tiny/model", revision="r1")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (report.tensors, report.parameters, report.layers) == (6, 42, 3)
    assert (config["base_model_name_or_path"], config["revision"]) == ("tiny/model", "r1")
    assert (config["r"], config["rank_pattern"], config["target_modules"]) == (2, {}, ["q_proj"])


def test_another_rank_goes_into_the_rank_pattern(tmp_path: Path) -> None:
    join_segments(parts(tmp_path, rank=3), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["rank_pattern"] == {"model.layers.1.q_proj": 3}


def nan(tensors: Tensors) -> None:
    tensors[KEY.format(1, "A")][0, 0] = np.nan


def alone(tensors: Tensors) -> None:
    del tensors[KEY.format(1, "B")]


def shape(tensors: Tensors) -> None:
    tensors[KEY.format(1, "B")] = np.zeros((3, 5), dtype=np.float32)


def foreign(tensors: Tensors) -> None:
    tensors["base_model.model.model.embed_tokens.weight"] = np.zeros((3, 5), dtype=np.float32)


def number_type(tensors: Tensors) -> None:
    tensors[KEY.format(1, "A")] = tensors[KEY.format(1, "A")].astype(np.float64)


def another_layer(tensors: Tensors) -> None:
    tensors[KEY.format(0, "A")] = np.zeros((2, 4), dtype=np.float32)
    tensors[KEY.format(0, "B")] = np.zeros((3, 2), dtype=np.float32)


@pytest.mark.parametrize("change", [nan, alone, shape, foreign, number_type, another_layer])
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, change: Callable[[Tensors], None]) -> None:
    with pytest.raises(AppError) as caught:
        join_segments(parts(tmp_path, change=change), tmp_path / "out")
    assert caught.value.code == "CL-1106"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changes", [{"step": 4}, {"model": "other/model"}, {"revision": "r2"}])
def test_segments_of_different_runs_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(AppError) as caught:
        join_segments(parts(tmp_path, **changes), tmp_path / "out")
    assert caught.value.code == "CL-1106"


def test_a_missing_segment_is_noticed(tmp_path: Path) -> None:
    for leave_out in range(3):
        folders = parts(tmp_path)
        del folders[leave_out]
        with pytest.raises(AppError) as caught:
            join_segments(folders, tmp_path / "out")
        assert caught.value.code == "CL-1106"


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    folders = parts(tmp_path)
    (folders[0] / "adapter_model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(AppError) as caught:
        join_segments(folders, tmp_path / "out")
    assert caught.value.code == "CL-1106"


def test_joining_and_the_public_face_load_no_torch() -> None:
    code = (
        "import sys, splitcore, splitcore.adapters.join, splitcore.models.manifest, splitcore.data.sampling, "
        "splitcore.data.tokenise, splitcore.control.events; splitcore.RunConfig; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'peft')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
