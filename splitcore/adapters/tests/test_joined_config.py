"""The joined adapter's configuration is written anew: nothing that a party wrote reaches who loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from splitcore.adapters.join import join_segments
from splitcore.adapters.peft_config import Terms
from splitcore.adapters.tests.test_join import parts
from splitcore.errors import AppError

TERMS = Terms(alpha=4.0, dropout=0.0, ranks=frozenset({2}))


def _rewritten(folder: Path, name: str, **changes: Any) -> None:
    data = json.loads((folder / name).read_text())
    for key, value in changes.items():
        if value is ...:
            del data[key]
        else:
            data[key] = value
    (folder / name).write_text(json.dumps(data))


@pytest.mark.parametrize(
    "odd",
    [
        {"megatron_core": "os", "megatron_config": {"a": 1}},
        {"auto_mapping": {"base_model_class": "System", "parent_library": "subprocess"}},
        {"layers_pattern": "(a+)+$", "exclude_modules": "(a+)+$", "modules_to_save": ["lm_head"], "note": "a row"},
    ],
)
def test_a_partys_own_fields_do_not_reach_the_joined_configuration(tmp_path: Path, odd: dict[str, Any]) -> None:
    folders = parts(tmp_path)
    for folder in folders:
        _rewritten(folder, "adapter_config.json", **odd)
    join_segments(folders, tmp_path / "out", terms=TERMS)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert not {"megatron_core", "auto_mapping", "layers_pattern", "modules_to_save", "note"} & set(config)
    assert (config["r"], config["lora_alpha"], config["exclude_modules"]) == (2, 4.0, None)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("adapter_config.json", {"lora_alpha": ...}),
        ("adapter_config.json", {"lora_alpha": "4"}),
        ("adapter_config.json", {"lora_alpha": 1e9}),
        ("adapter_config.json", {"target_modules": ...}),
        ("adapter_config.json", {"target_modules": "(a+)+$"}),
        ("adapter_config.json", {"target_modules": [{}]}),
        ("adapter_config.json", {"peft_type": "ADALORA"}),
        ("adapter_config.json", {"use_dora": True}),
        ("adapter_config.json", {"bias": "all"}),
        ("adapter_config.json", {"note": "x" * 100_000}),
        ("segment.json", {"start": "0"}),
        ("segment.json", {"start": ...}),
        ("segment.json", {"end": 1.5}),
        ("segment.json", {"step": None}),
        ("segment.json", {"total": -3}),
        ("segment.json", {"row": "x"}),
        ("segment.json", {"model": ["tiny/model"]}),
        ("segment.json", {"party": "a\u0000"}),
    ],
)
def test_a_missing_or_odd_field_is_a_refusal_with_a_code(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    folders = parts(tmp_path)
    _rewritten(folders[0], name, **changes)
    with pytest.raises(AppError) as caught:
        join_segments(folders, tmp_path / "out")
    assert caught.value.code == "CL-1106"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "terms",
    [Terms(8.0, 0.0, frozenset({2})), Terms(4.0, 0.1, frozenset({2})), Terms(4.0, 0.0, frozenset({4}))],
    ids=["alpha", "dropout", "rank"],
)
def test_segments_that_are_not_the_contracts_are_refused(tmp_path: Path, terms: Terms) -> None:
    with pytest.raises(AppError) as caught:
        join_segments(parts(tmp_path), tmp_path / "out", terms=terms)
    assert caught.value.code == "CL-1106"


def _with_head(folder: Path, labels: int) -> None:
    """Make a segment's folder one of a classifier, with a head where it has `labels`."""
    _rewritten(folder, "adapter_config.json", task_type="SEQ_CLS", modules_to_save=["score"])
    if labels:
        path = folder / "adapter_model.safetensors"
        head = {"base_model.model.score.weight": np.ones((labels, 8), dtype=np.float32)}
        save_file({**load_file(path), **head}, path)


def test_a_classifiers_head_is_joined_and_named_where_the_contract_has_so_many_labels(tmp_path: Path) -> None:
    folders = parts(tmp_path)
    for folder in folders:
        _with_head(folder, 3 if folder is folders[-1] else 0)
    join_segments(folders, tmp_path / "out", terms=replace(TERMS, classes=3))
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["task_type"], config["modules_to_save"]) == ("SEQ_CLS", ["score"])
    assert load_file(tmp_path / "out" / "adapter_model.safetensors")["base_model.model.score.weight"].shape == (3, 8)


@pytest.mark.parametrize(
    ("brought", "agreed"),
    [(3, 0), (3, 4), (0, 3)],
    ids=["a head that nobody agreed to", "of other labels", "no head"],
)
def test_a_head_that_is_not_the_contracts_is_refused(tmp_path: Path, brought: int, agreed: int) -> None:
    folders = parts(tmp_path)
    for folder in folders:
        _with_head(folder, brought if folder is folders[-1] else 0)
    with pytest.raises(AppError, match="CL-1106"):
        join_segments(folders, tmp_path / "out", terms=replace(TERMS, classes=agreed))


def test_a_head_in_a_text_adapter_is_refused(tmp_path: Path) -> None:
    folders = parts(tmp_path)
    _with_head(folders[-1], 3)
    for folder in folders:
        _rewritten(folder, "adapter_config.json", task_type="CAUSAL_LM")
    with pytest.raises(AppError, match="CL-1106"):
        join_segments(folders, tmp_path / "out")


_JOIN = """
import resource, sys
from pathlib import Path
from splitcore.adapters.join import join_segments
root = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
join_segments([root / name for name in ("head", "body", "tail")], root / "out")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_a_join_holds_one_tensor_and_not_every_segment_thrice(tmp_path: Path) -> None:
    folders = parts(tmp_path)
    for layer, folder in enumerate(sorted(folders, key=lambda one: ("head", "body", "tail").index(one.name))):
        # file-backed pages of the segments may count as resident; what the join itself holds is far less than a copy
        tensors = {
            f"base_model.model.model.layers.{layer}.m{number}.q_proj.lora_{part}.weight": np.ones(shape, np.float32)
            for number in range(16)
            for part, shape in (("A", (2, 262_144)), ("B", (262_144, 2)))
        }
        save_file(tensors, folder / "adapter_model.safetensors")
    size = sum((folder / "adapter_model.safetensors").stat().st_size for folder in folders)
    told = subprocess.run([sys.executable, "-c", _JOIN, str(tmp_path)], capture_output=True, text=True, check=True)
    assert size > 190_000_000
    assert int(told.stdout) < 1.4 * size  # the mapped files once; formerly 3 times the segments
