"""The joined adapter's configuration is written anew: nothing that a party wrote reaches who loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

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
