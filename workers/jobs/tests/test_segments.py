"""A packed segment is a safetensors file with the same tensors, and its configuration in the header."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from splitcore.errors import AppError
from workers.jobs.kinds.train.segments import pack_segment


def test_a_packed_segment_holds_tensors_and_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "head"
    folder.mkdir()
    tensors = {"layer.lora_A.weight": torch.randn(2, 5), "layer.lora_B.weight": torch.zeros(5, 2)}
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"r": 2}')
    (folder / "segment.json").write_text('{"role": "head"}')
    target = tmp_path / "head.safetensors"
    digest = pack_segment(folder, target)
    assert digest == hashlib.sha256(target.read_bytes()).hexdigest()
    with safe_open(target, "pt") as packed:
        assert json.loads(packed.metadata()["adapter_config"]) == {"r": 2}
        assert json.loads(packed.metadata()["segment"]) == {"role": "head"}
        for name, tensor in tensors.items():
            assert torch.equal(packed.get_tensor(name), tensor)


def test_a_missing_part_has_a_code(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="CL-1701"):
        pack_segment(tmp_path, tmp_path / "out.safetensors")
