"""What comes out of a join loads with plain PEFT and computes what the segments computed, to the last bit."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from splitcore.adapters.join import join_segments
from splitcore.adapters.lora import (
    adapter_layout,
    adapter_parameters,
    config_dict,
    lora_config,
    place,
    seed_for,
    weights_bytes,
)
from splitcore.adapters.merge import merge_adapter
from splitcore.adapters.segments import SegmentInfo, segment_files, write_folder
from splitcore.config import LoraSection, ModelSection
from splitcore.errors import AppError
from splitcore.models.loading import load_segment, read_config
from splitcore.models.plan import segment_plans
from splitcore.models.tests.tiny import FAMILIES, LAYERS, save_model

Models = Callable[[str, bool], Path]
NAMED = {"gpt2": ["c_attn", "c_fc"], "opt": ["q_proj", "fc2"], "phi3": ["qkv_proj", "down_proj"]}
MODEL = ModelSection(name_or_path="tiny/model")
RANKS = {"head": 2, "tail": 2, "body": 3}
IDS_BL = torch.randint(3, 250, (2, 9), generator=torch.Generator().manual_seed(0))
MASK_BL = torch.ones_like(IDS_BL).index_fill_(1, torch.tensor([7, 8]), 0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The folder of a tiny model, made once."""
    return lru_cache(lambda family, tied: save_model(tmp_path_factory.mktemp(family), family, tied=tied))


def targets_of(family: str, targets: str) -> Any:
    named = NAMED.get(family, ["q_proj", "down_proj"])
    return {"all-linear": "all-linear", "named": named, "head": [*named, "lm_head"]}[targets]


def split_and_join(
    folder: Path, out: Path, targets: Any, cut: tuple[str, int, int], ranks: dict[str, int]
) -> torch.Tensor:
    """Segments with weights that depend on their names alone, joined in `out`; the logits of the segments."""
    segments, hidden_BLD = [], None
    for role, plan in segment_plans(*cut, LAYERS).items():
        lora = LoraSection(rank=ranks[role], alpha=4, target_modules=targets)
        layout = adapter_layout(read_config(folder), lora)
        segment = load_segment(folder, plan, MODEL)
        place(segment.model, layout, lora)
        for name, parameter in adapter_parameters(segment.model):
            parameter.data = (
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed_for(0, name))) / 4
            )
        with torch.no_grad():
            hidden_BLD = segment(MASK_BL, ids_BL=IDS_BL if role == "head" else None, hidden_BLD=hidden_BLD)
        info = SegmentInfo(role, plan.start, plan.end, LAYERS, "a", 1, "tiny/model", None, None)
        files = segment_files(
            info, config_dict(lora_config(layout, lora, MODEL)), weights_bytes(dict(adapter_parameters(segment.model)))
        )
        write_folder(out.parent / f"{out.name}-{role}", files)
        segments.append(out.parent / f"{out.name}-{role}")
    join_segments(segments, out)
    assert hidden_BLD is not None
    return hidden_BLD


def plain_peft(base: Path, adapter: Path) -> PeftModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base).eval(), adapter).eval()


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        answer: torch.Tensor = model(input_ids=IDS_BL, attention_mask=MASK_BL, use_cache=False).logits
    return answer


@pytest.mark.parametrize(
    ("targets", "tied"), [("all-linear", True), ("named", False), ("head", True)], ids=["all", "named-untied", "head"]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_joined_adapter_reloads_with_plain_peft_and_merges(
    tmp_path: Path, models: Models, family: str, targets: str, tied: bool
) -> None:
    base = models(family, tied)
    split_BLV = split_and_join(base, tmp_path / "out", targets_of(family, targets), ("u_shape", 1, 2), RANKS)
    model = plain_peft(base, tmp_path / "out")
    assert torch.equal(logits_of(model), split_BLV)

    merge_adapter(tmp_path / "out", base, tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(logits_of(merged), split_BLV, rtol=1e-4, atol=1e-4)
    weights = dict(merged.named_parameters(remove_duplicate=False))
    adapted = 0
    for name, layer in model.base_model.model.named_modules():
        if hasattr(layer, "lora_A"):
            expected = layer.base_layer.weight + layer.get_delta_weight("default")
            assert torch.equal(weights[f"{name}.weight"], expected)
            adapted += 1
    assert adapted


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_adapter_is_the_same_wherever_its_segments_were_cut(tmp_path: Path, models: Models, family: str) -> None:
    base = models(family, True)
    made = []
    for number, cut in enumerate([("u_shape", 1, 2), ("u_shape", 2, 1), ("u_shape", 0, 0), ("vanilla", 3, 0)]):
        out = tmp_path / str(number)
        logits_BLV = split_and_join(base, out, "all-linear", cut, dict.fromkeys(RANKS, 2))
        made.append(
            (load_file(out / "adapter_model.safetensors"), json.loads((out / "adapter_config.json").read_text()))
        )
        assert torch.equal(logits_of(plain_peft(base, out)), logits_BLV)
    for tensors, config in made[1:]:
        assert config == made[0][1]
        assert all(torch.equal(tensors[name], value) for name, value in made[0][0].items())


def test_a_merged_folder_has_the_tokenizer_and_is_never_overwritten(tmp_path: Path, models: Models) -> None:
    base = models("llama", False)
    split_and_join(base, tmp_path / "out", "all-linear", ("u_shape", 1, 2), RANKS)
    archive = shutil.make_archive(str(tmp_path / "adapter"), "zip", tmp_path, "out")
    report = merge_adapter(Path(archive), base, tmp_path / "merged", dtype="bfloat16")
    assert (report.adapted, report.dtype) == (7 * LAYERS, "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(tmp_path / "merged")("ab")["input_ids"]
    with pytest.raises(AppError) as caught:
        merge_adapter(tmp_path / "out", base, tmp_path / "merged")
    assert caught.value.code == "CL-1107"


def test_an_adapter_of_another_model_is_not_merged(tmp_path: Path, models: Models) -> None:
    base, other = models("llama", True), models("opt", True)
    split_and_join(base, tmp_path / "out", "all-linear", ("u_shape", 1, 2), RANKS)
    with pytest.raises(AppError) as caught:
        merge_adapter(tmp_path / "out", other, tmp_path / "merged")
    assert caught.value.code == "CL-1106"
    assert "Use the base model of the run" in caught.value.remedy
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("name", ["empty", "rows.zip"])
def test_what_is_no_adapter_is_not_merged_and_the_remedy_says_what_one_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.zip").write_text("not a zip")
    with pytest.raises(AppError) as caught:
        merge_adapter(tmp_path / name, tmp_path, tmp_path / "merged")
    assert caught.value.code == "CL-1106"
    assert "PEFT adapter, or the zip file" in caught.value.remedy
