"""Loading what a segment owns, from a folder or a hub id: safetensors only, never code, never an un-owned tensor."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from splitcore.config import ModelSection, resolve_dtype
from splitcore.errors import AppError
from splitcore.models.carve import Segment, carved_class, layer_count, stock_class
from splitcore.models.files import INDEX, check_folder, read_json, wanted_shards, weight_files
from splitcore.models.manifest import Manifest, verify_folder
from splitcore.models.plan import SegmentPlan
from splitcore.models.quantised import quantise_layers
from splitcore.models.slots import Port
from splitcore.models.twin import layer_arity, quiet_library

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]


def locate(source: str | Path, *, revision: str | None = None, plans: list[SegmentPlan] | None = None) -> Path:
    """The folder of a base model: as given, or fetched from the hub, only the shards that `plans` need.

    Raises AppError CL-1103.
    """
    folder = Path(source)
    if folder.is_dir():
        check_folder(folder)
        return folder
    if folder.is_absolute() or str(source).startswith("."):
        raise AppError("CL-1103", "The folder of the base model does not exist on this machine.")
    return _fetch(str(source), revision, plans)


def _fetch(model: str, revision: str | None, plans: list[SegmentPlan] | None) -> Path:
    """Download a model's files through the hub's client."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=SMALL_FILES))
        wanted = ["model.safetensors"]
        if (folder / INDEX).is_file():
            tied = read_config(folder).tie_word_embeddings
            shards = [wanted_shards(folder, plan, tied=tied) for plan in plans] if plans else None
            wanted = sorted({f for part in shards for f in part.values()}) if shards else ["*.safetensors"]
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=SMALL_FILES + wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise AppError(
            "CL-1103",
            f"The base model '{model}' could not be fetched ({type(error).__name__}).",
            "Check the id and the network, or register a local folder with: cutlayer worker model add FOLDER.",
        ) from None
    check_folder(folder)
    return folder


def read_config(folder: Path) -> PreTrainedConfig:
    """The configuration of the model in `folder`. Raises AppError CL-1103, CL-1101."""
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise AppError(
            "CL-1103", f"The configuration of the base model cannot be read ({type(error).__name__})."
        ) from None
    stock_class(config)
    layer_count(config)
    if getattr(config, "quantization_config", None) is not None:
        raise AppError("CL-1103", "The base model is quantised; only full-precision weights are supported.")
    return config


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the model in `folder`. Raises AppError CL-1103."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # the library raises many kinds for a missing or damaged tokenizer
        raise AppError("CL-1103", f"The tokenizer of the base model cannot be read ({type(error).__name__}).") from None
    return tokenizer


def load_segment(
    folder: Path, plan: SegmentPlan, model: ModelSection, *, device: str = "cpu", manifest: Manifest | None = None
) -> Segment:
    """The carved model of one segment, frozen and in evaluation mode. Raises AppError CL-1103, CL-1104."""
    config = read_config(folder)
    if manifest is not None:
        verify_folder(folder, manifest, [plan])
    tied = bool(getattr(config, "tie_word_embeddings", False))
    if not plan.output:
        config.tie_word_embeddings = False
    port = Port()
    carved = carved_class(stock_class(config), plan, port, layer_arity(config))
    with _only_wanted_shards(folder, plan, tied=tied) as reduced:
        loaded = _load(carved, reduced, config, compute_dtype(folder, model))
    quantise_layers(loaded, plan.total, model.quantisation)
    return Segment(_on(device, loaded), plan, port, dtype=compute_dtype(folder, model))


def load_whole(folder: Path, model: ModelSection, *, device: str = "cpu") -> PreTrainedModel:
    """The stock, unsplit model, frozen and in evaluation mode. Raises AppError CL-1103."""
    config = read_config(folder)
    for path in weight_files(folder):
        if not path.is_file():
            raise AppError("CL-1103", f"The weight file {path.name} is missing.")
    loaded = _load(stock_class(config), folder, config, compute_dtype(folder, model))
    quantise_layers(loaded, layer_count(config), model.quantisation)
    return _on(device, loaded)


def compute_dtype(folder: Path, model: ModelSection) -> torch.dtype:
    """The number format in which the model in `folder` computes. Raises AppError CL-1103."""
    return DTYPES[resolve_dtype(model.dtype, read_json(folder / "config.json"))]


def _load(
    model_class: type[PreTrainedModel], folder: Path, config: PreTrainedConfig, dtype: torch.dtype
) -> PreTrainedModel:
    """The library's own loading; a weight that is missing is an error, never a random tensor."""
    try:
        with quiet_library():
            answer: Any = model_class.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # damaged weights raise many kinds in the library
        raise AppError("CL-1103", f"The weights of the base model cannot be loaded ({type(error).__name__}).") from None
    loaded: PreTrainedModel
    loaded, report = answer
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise AppError(
            "CL-1103",
            f"The weights of the base model lack {len(missing)} tensors, the first is {missing[0]}.",
            details={"missing": missing[:20]},
        )
    return loaded.eval().requires_grad_(False)


def _on(device: str, model: PreTrainedModel) -> PreTrainedModel:
    """Move a model."""
    torch.nn.Module.to(model, device)
    return model


@contextmanager
def _only_wanted_shards(folder: Path, plan: SegmentPlan, *, tied: bool) -> Iterator[Path]:
    """A view of a sharded folder whose index names only what the segment needs; others are not even opened."""
    if not (folder / INDEX).is_file():
        yield folder
        return
    wanted = wanted_shards(folder, plan, tied=tied)
    for name in sorted(set(wanted.values())):
        if not (folder / name).is_file():
            raise AppError("CL-1103", f"The weight file {name} is missing.")
    with tempfile.TemporaryDirectory(prefix="cutlayer-model-") as view:
        reduced = Path(view)
        (reduced / "config.json").symlink_to((folder / "config.json").resolve())
        for name in set(wanted.values()):
            (reduced / name).symlink_to((folder / name).resolve())
        index: dict[str, Any] = {"metadata": {}, "weight_map": wanted}
        (reduced / INDEX).write_text(json.dumps(index), encoding="utf-8")
        yield reduced
