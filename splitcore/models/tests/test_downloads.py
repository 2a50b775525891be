"""A party downloads its own tensors and no others: bytes are counted where they leave the model hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import splitcore
from splitcore.config import ModelSection
from splitcore.errors import AppError
from splitcore.models.files import tensors_of
from splitcore.models.loading import load_segment, load_whole, locate, locate_configuration
from splitcore.models.manifest import build_manifest
from splitcore.models.plan import SegmentPlan, segment_plans
from splitcore.models.tests.model_hub import COMMIT, MODEL, serve_models
from splitcore.models.tests.tiny import LAYERS, rows, save_model

SECTION = ModelSection(name_or_path=MODEL)
PLANS = segment_plans("u_shape", 1, 2, LAYERS)
HEADERS = 4096  # of the server's safetensors header, and of those that are written here


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


def own_bytes(folder: Path, plans: list[SegmentPlan]) -> int:
    """Bytes of the parameters that these segments hold; a tied weight of head and tail is one tensor."""
    held: dict[str, int] = {}
    for plan in plans:
        held |= {
            n: p.numel() * p.element_size() for n, p in load_segment(folder, plan, SECTION).model.named_parameters()
        }
    return sum(held.values())


def header_bytes(folder: Path) -> int:
    return sum(min(entry.offset for entry in tensors_of(path)) for path in folder.glob("*.safetensors"))


@pytest.mark.parametrize("shard_size", [None, "9KB"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])  # untied, tied, another layout of names
def test_each_segment_downloads_and_holds_its_own_tensors_only(
    tmp_path: Path, patch: pytest.MonkeyPatch, family: str, shard_size: str | None
) -> None:
    source = save_model(tmp_path / "source", family, shard_size=shard_size)
    ids_BL = torch.randint(3, 250, (2, 9), generator=torch.Generator().manual_seed(0))
    mask_BL = torch.ones_like(ids_BL)
    hidden_BLD = None
    for role, plan in PLANS.items():
        with serve_models(source, tmp_path / role, patch) as hub:
            folder = locate(MODEL, plans=[plan])
            sent = hub.weight_bytes
            assert sent <= own_bytes(folder, [plan]) + header_bytes(source)
            assert sum(hub.sent.values()) - sent <= 2 * hub.small  # small files and listings
            names = {entry.name for path in folder.glob("*.safetensors") for entry in tensors_of(path)}
            segment = load_segment(folder, plan, SECTION)
            assert not any("embed_tokens" in name or "wte" in name for name in names) or role != "body"
            assert names == {name for name, _ in segment.model.named_parameters()}
            with torch.no_grad():
                hidden_BLD = segment(mask_BL, ids_BL=ids_BL if role == "head" else None, hidden_BLD=hidden_BLD)
            locate(MODEL, plans=[plan])
            assert hub.weight_bytes == sent  # the second time from the cache
    with torch.no_grad():
        whole_BLV = load_whole(source, SECTION)(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
    assert torch.equal(hidden_BLD, whole_BLV)


def test_head_and_tail_of_a_tied_model_download_the_embedding_once(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    source = save_model(tmp_path / "source", "qwen3")
    with serve_models(source, tmp_path / "cache", patch) as hub:
        own = [PLANS["head"], PLANS["tail"]]
        folder = locate(MODEL, plans=own)
        assert hub.weight_bytes <= own_bytes(folder, own) + header_bytes(source)


def test_a_whole_training_by_id_never_downloads_more_than_the_halves_hold(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    source = save_model(tmp_path / "source", "llama")
    sections = {
        "model": {"name_or_path": MODEL},
        "split": {"head_layers": 1, "tail_layers": 2},
        "training": {"steps": 1, "batch_size": 2, "eval_every": 0, "max_length": 32},
    }
    with serve_models(source, tmp_path / "cache", patch) as hub:
        splitcore.fine_tune(splitcore.RunConfig.parse(sections), {"a": rows(4)}, out=tmp_path / "out")
        assert hub.weight_bytes <= (source / "model.safetensors").stat().st_size + header_bytes(source)
        assert not list((tmp_path / "cache").glob("models--*/**/*.safetensors"))
        locate_configuration(MODEL, revision=COMMIT)


def test_a_connection_that_breaks_is_resumed_where_it_broke(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    source = save_model(tmp_path / "source", "llama")
    with serve_models(source, tmp_path / "cache", patch) as hub:
        hub.breaks = [300, 700]  # of the header, of the tensors
        folder = locate(MODEL, plans=[PLANS["body"]])
        assert hub.weight_bytes <= own_bytes(folder, [PLANS["body"]]) + header_bytes(source)
    theirs, ours = load_file(source / "model.safetensors"), load_file(folder / "model.safetensors")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_download_that_was_killed_goes_on_from_its_file(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    source = save_model(tmp_path / "source", "llama")
    with serve_models(source, tmp_path / "cache", patch) as hub:
        folder = locate(MODEL, plans=[PLANS["body"]])
        complete = (folder / "model.safetensors").read_bytes()
        (folder / ".complete").unlink()
        (folder / "model.safetensors").unlink()
        (folder / "model.partial").write_bytes(complete[:-100])
        before = hub.weight_bytes
        locate(MODEL, plans=[PLANS["body"]])
        assert hub.weight_bytes - before == 100 + header_bytes(source)
        assert (folder / "model.safetensors").read_bytes() == complete


def test_a_hub_without_ranges_sends_the_whole_file(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    source = save_model(tmp_path / "source", "llama")
    with serve_models(source, tmp_path / "cache", patch) as hub:
        hub.ranges = False
        folder = locate(MODEL, plans=[PLANS["body"]])
        digests = {hashlib.sha256(f.joinpath("model.safetensors").read_bytes()).digest() for f in (folder, source)}
        assert len(digests) == 1
        held = {name for name, _ in load_segment(folder, PLANS["body"], SECTION).model.named_parameters()}
        assert all(name.startswith(("model.layers.1.", "model.layers.2.")) for name in held)


def test_a_tensor_that_differs_from_the_manifest_is_not_kept(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    source = save_model(tmp_path / "source", "llama")
    manifest = build_manifest(source, model=MODEL, revision=COMMIT)
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] += 1
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with serve_models(source, tmp_path / "cache", patch):
        locate(MODEL, plans=[PLANS["tail"]], manifest=manifest)
        with pytest.raises(AppError) as caught:
            locate(MODEL, plans=[PLANS["body"]], manifest=manifest)
        assert caught.value.code == "CL-1104"
        assert caught.value.details["name"] == "model.layers.1.mlp.up_proj.weight"
        assert not list((tmp_path / "cache").rglob("*.partial"))


def test_an_unknown_model_is_an_error_with_a_code(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    source = save_model(tmp_path / "source", "llama")
    with serve_models(source, tmp_path / "cache", patch), pytest.raises(AppError) as caught:
        locate("acme/other", plans=[PLANS["body"]])
    assert caught.value.code == "CL-1121"
