"""A whole adapter's configuration is read strictly: PEFT imports, searches and fetches nothing that a file names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from splitcore.adapters.peft_config import Terms
from splitcore.adapters.verify import read_lora, verify_loads
from splitcore.errors import AppError
from splitcore.models.tests.tiny import LAYERS, save_model

PLAIN = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "lora_dropout": 0.0}
TERMS = Terms(alpha=4.0, dropout=0.0, ranks=frozenset({2}))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base") / "llama", "llama")


def adapter(folder: Path, **fields: Any) -> Path:
    """A plain adapter of every layer's q_proj, but for these fields of its configuration."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**PLAIN, **fields}))
    shapes = {"A": (2, 16), "B": (16, 2)}
    prefix = "base_model.model.model.layers"
    tensors = {
        f"{prefix}.{layer}.self_attn.q_proj.lora_{part}.weight": torch.zeros(shape)
        for layer in range(LAYERS)
        for part, shape in shapes.items()
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def test_a_plain_adapter_loads_and_is_the_contract_s(base: Path, tmp_path: Path) -> None:
    assert verify_loads(base, adapter(tmp_path / "a", peft_version="0.18"), terms=TERMS).ok


HOSTILE: dict[str, dict[str, Any]] = {
    "a module to import": {"megatron_config": {"a": 1}, "megatron_core": "evil.core"},
    "an expression for the targets": {"target_modules": r"([a-z0-9_.]+)+!"},
    "an expression among the targets": {"target_modules": ["(a+)+"]},
    "an expression for what is left out": {"exclude_modules": r"([a-z0-9_.]+)+!"},
    "an expression for ranks": {"rank_pattern": {"(a+)+!": 2}},
    "another method, which fetches adapters": {"peft_type": "XLORA", "adapters": {"0": "evil/repo"}},
    "an initialisation that changes the base": {"init_lora_weights": "pissa"},
    "modules beside the adapter": {"modules_to_save": ["lm_head"]},
    "a class to map to": {"auto_mapping": {"base_model_class": "X", "parent_library": "evil"}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_asks_for_more_than_plain_lora_is_refused_before_peft(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    package = tmp_path / "path" / "evil"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "core.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))
    folder = adapter(tmp_path / "a", **HOSTILE[name])
    for read in (lambda: verify_loads(base, folder), lambda: read_lora(folder)):
        with pytest.raises(AppError) as caught:
            read()
        assert caught.value.code == "CL-1106"
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "terms",
    [Terms(8.0, 0.0, frozenset({2})), Terms(4.0, 0.1, frozenset({2})), Terms(4.0, 0.0, frozenset({3}))],
    ids=["alpha", "dropout", "rank"],
)
def test_an_adapter_that_is_not_the_contract_s_is_refused(base: Path, tmp_path: Path, terms: Terms) -> None:
    with pytest.raises(AppError) as caught:
        verify_loads(base, adapter(tmp_path / "a"), terms=terms)
    assert caught.value.code == "CL-1106"


def test_a_module_s_own_alpha_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(AppError):
        verify_loads(base, adapter(tmp_path / "a", alpha_pattern={"q_proj": 9.0}), terms=TERMS)


def test_a_head_that_was_not_trained_is_left_out_by_the_one_known_expression(tmp_path: Path) -> None:
    written = r"model\.layers\.(0|1)\..*"
    assert read_lora(adapter(tmp_path / "a", exclude_modules=written)).exclude_modules == written
