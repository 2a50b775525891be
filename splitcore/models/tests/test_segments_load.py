"""Loading segments: what each party gets, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from splitcore.config import ModelSection
from splitcore.errors import AppError
from splitcore.models.carve import layer_count
from splitcore.models.files import wanted_by
from splitcore.models.loading import compute_dtype, load_segment, load_whole, locate, read_config
from splitcore.models.manifest import Manifest, build_manifest, verify_folder
from splitcore.models.narrow import few_markers
from splitcore.models.plan import segment_plans
from splitcore.models.tests.configurations import configuration
from splitcore.models.tests.tiny import FAMILIES, LAYERS, save_model
from splitcore.models.twin import build_twin, quiet_library, twin_config

SECTION = ModelSection(name_or_path="tiny/model")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("llama"), "llama", shard_size="8KB")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("topology", "head", "tail"), [("u_shape", 1, 2), ("u_shape", 0, 0), ("u_shape", 2, 0), ("vanilla", 0, 0)]
)
def test_segments_one_after_the_other_give_the_logits_of_the_whole_model(
    tmp_path_factory: pytest.TempPathFactory, family: str, topology: str, head: int, tail: int
) -> None:
    folder = save_model(tmp_path_factory.mktemp(family), family)
    ids_BL = torch.randint(3, 250, (2, 9), generator=torch.Generator().manual_seed(0))
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[1, 5:] = 0
    with torch.no_grad():
        whole_BLV = load_whole(folder, SECTION)(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
        plans = list(segment_plans(topology, head, tail, LAYERS).values())
        hidden_BLD = load_segment(folder, plans[0], SECTION)(mask_BL, ids_BL=ids_BL)
        for plan in plans[1:]:
            hidden_BLD = load_segment(folder, plan, SECTION)(mask_BL, hidden_BLD=hidden_BLD)
    assert torch.equal(hidden_BLD, whole_BLV)


# Among them: other names of layers and embeddings, an output head of several modules, a class that fills each layer's
# buffers at its start, and one that tells each layer how to attend.
@pytest.mark.parametrize("model_type", ["bert", "big_bird", "rembert", "mamba", "falcon_h1"])
def test_segments_of_odd_types_load_from_their_own_shards(tmp_path: Path, model_type: str) -> None:
    config = configuration(model_type)
    with quiet_library():
        build_twin(config).save_pretrained(tmp_path, max_shard_size="20KB")
    ids_BL = torch.randint(3, 60, (2, 6), generator=torch.Generator().manual_seed(0))
    mask_BL = torch.ones_like(ids_BL)
    with torch.no_grad():
        whole_BLV = load_whole(tmp_path, SECTION)(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
        hidden_BLD = None
        for role, plan in segment_plans("u_shape", 1, 1, layer_count(read_config(tmp_path))).items():
            segment = load_segment(tmp_path, plan, SECTION)
            hidden_BLD = segment(mask_BL, ids_BL=ids_BL if role == "head" else None, hidden_BLD=hidden_BLD)
    assert torch.equal(hidden_BLD, whole_BLV)


def test_layers_of_an_encoder_in_front_of_the_decoder_are_not_taken_for_its_own() -> None:
    body = segment_plans("u_shape", 1, 2, LAYERS)["body"]
    assert wanted_by(
        "model.embed_tokens_extend.image_embed.img_processor.encoder.layers.0.mlp.fc1.bias", body, tied=False
    )
    assert not wanted_by("model.layers.0.mlp.fc1.bias", body, tied=False)


def test_a_segment_holds_only_the_tensors_that_it_owns(llama: Path) -> None:
    plans = segment_plans("u_shape", 1, 2, LAYERS)
    held = {
        role: {name for name, _ in load_segment(llama, plan, SECTION).model.named_parameters()}
        for role, plan in plans.items()
    }
    assert all(name.startswith(("model.layers.1.", "model.layers.2.")) for name in held["body"])
    assert "model.embed_tokens.weight" in held["head"]
    assert {"model.norm.weight", "lm_head.weight"} <= held["tail"]
    assert not held["head"] & held["body"]
    assert not held["tail"] & (held["head"] | held["body"])


@pytest.mark.parametrize("model_type", ["gemma3", "qwen3_5"])
def test_of_a_model_with_a_vision_part_only_the_text_is_loaded(tmp_path: Path, model_type: str) -> None:
    config = configuration(model_type)
    config.text_config = twin_config(config.get_text_config())
    config.vision_config.num_hidden_layers = config.vision_config.depth = 1
    few_markers(config)
    with quiet_library():
        model = AutoModelForImageTextToText.from_config(config)
        model.save_pretrained(tmp_path)
    ids_BL, mask_BL = torch.arange(3, 17).reshape(2, 7), torch.ones(2, 7, dtype=torch.long)
    segments = [load_segment(tmp_path, plan, SECTION) for plan in segment_plans("u_shape", 1, 1, 4).values()]
    with torch.no_grad():
        whole_BLV = model.eval()(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
        hidden_BLD = segments[0](mask_BL, ids_BL=ids_BL)
        for segment in segments[1:]:
            hidden_BLD = segment(mask_BL, hidden_BLD=hidden_BLD)
    assert torch.equal(hidden_BLD, whole_BLV)
    assert not [n for segment in segments for n, _ in segment.model.named_parameters() if "vis" in n]


def test_a_segment_does_without_the_shards_that_it_does_not_need(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    shutil.copytree(llama, folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    body = {shard for name, shard in index.items() if "layers.1." in name or "layers.2." in name or "norm" in name}
    for shard in set(index.values()) - body:
        (folder / shard).unlink()
    plans = segment_plans("u_shape", 1, 2, LAYERS)
    load_segment(folder, plans["body"], SECTION)
    with pytest.raises(AppError) as caught:
        load_segment(folder, plans["head"], SECTION)
    assert caught.value.code == "CL-1103"


@pytest.mark.parametrize(("head", "tail"), [(3, 2), (5, 0), (9, 9)])
def test_a_cut_that_leaves_no_layer_for_the_body_is_refused(head: int, tail: int) -> None:
    with pytest.raises(AppError) as caught:
        segment_plans("u_shape", head, tail, LAYERS)
    assert caught.value.code == "CL-1002"
    assert f"{LAYERS} layers" in caught.value.message


@pytest.mark.promise(14, figure="refused")
def test_pickled_weights_are_refused(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    shutil.copy(llama / "config.json", folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(AppError) as caught:
        locate(folder)
    assert caught.value.code == "CL-1103"
    assert "could run code" in caught.value.message


@pytest.mark.promise(14)
def test_a_model_that_brings_code_is_refused(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    shutil.copytree(llama, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    with pytest.raises(AppError) as caught:
        locate(folder)
    assert caught.value.code == "CL-1103"


@pytest.mark.parametrize("missing", ["config.json", "*.safetensors", "."])
def test_missing_files_are_named(llama: Path, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "lacking"
    if missing != ".":
        shutil.copytree(llama, folder)
        for path in folder.glob(missing):
            path.unlink()
    with pytest.raises(AppError) as caught:
        locate(folder)
    assert caught.value.code == "CL-1103"


def test_a_missing_tensor_is_an_error_and_never_a_random_one(tmp_path: Path) -> None:
    folder = save_model(tmp_path, "llama")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AppError) as caught:
        load_segment(folder, segment_plans("u_shape", 1, 2, LAYERS)["body"], SECTION)
    assert "model.layers.2.mlp.up_proj.weight" in caught.value.message


def test_a_manifest_is_the_same_wherever_the_model_lies_and_sees_every_change(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "one", "llama")
    manifest = build_manifest(folder, model="tiny/model", revision="abc")
    copy = tmp_path / "two"
    shutil.copytree(folder, copy)
    assert build_manifest(copy, model="tiny/model", revision="abc").hash() == manifest.hash()
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest
    verify_folder(copy, manifest)
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] += 1e-3
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    plans = segment_plans("u_shape", 1, 2, LAYERS)
    load_segment(copy, plans["tail"], SECTION, manifest=manifest)
    with pytest.raises(AppError) as caught:
        load_segment(copy, plans["body"], SECTION, manifest=manifest)
    assert caught.value.code == "CL-1104"
    assert caught.value.details["name"] == "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("fields", "dtype"),
    [
        ({"dtype": "bfloat16"}, torch.bfloat16),
        ({"torch_dtype": "bfloat16"}, torch.bfloat16),
        ({"dtype": "float32"}, torch.float32),
        ({"dtype": "float16"}, torch.float32),
        ({"text_config": {"dtype": "bfloat16"}}, torch.bfloat16),
        ({}, torch.float32),
    ],
)
def test_auto_is_the_format_that_the_models_configuration_names(
    tmp_path: Path, fields: dict[str, object], dtype: torch.dtype
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(fields))
    assert compute_dtype(tmp_path, SECTION.model_copy(update={"dtype": "auto"})) == dtype
    assert compute_dtype(tmp_path, SECTION) == torch.float32


def test_every_segment_of_an_auto_run_computes_in_the_checkpoints_format(tmp_path: Path) -> None:
    folder = save_model(tmp_path, "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    section = SECTION.model_copy(update={"dtype": "auto"})
    for plan in segment_plans("u_shape", 1, 2, LAYERS).values():
        segment = load_segment(folder, plan, section)
        assert segment.dtype == torch.bfloat16
        assert {parameter.dtype for parameter in segment.model.parameters()} == {torch.bfloat16}


def test_an_unreadable_configuration_is_an_error_with_a_code(tmp_path: Path) -> None:
    folder = save_model(tmp_path, "llama")
    (folder / "config.json").write_text("{")
    with pytest.raises(AppError) as caught:
        read_config(folder)
    assert caught.value.code == "CL-1103"
