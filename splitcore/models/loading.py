"""Loading what a segment owns, from a folder or a hub id: safetensors only, never code, never an un-owned tensor."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from splitcore.config import ModelSection, resolve_dtype
from splitcore.data.tokenise import padding_id
from splitcore.errors import AppError
from splitcore.models.carve import Segment, carved_class, causal_config, layer_count, stock_class
from splitcore.models.classifier import (
    HEAD_WEIGHT,
    classifier_config,
    compute_in_own_format,
    is_classifier,
    language_config,
)
from splitcore.models.files import (
    INDEX,
    SINGLE,
    SMALL_FILES,
    check_configuration,
    check_folder,
    read_json,
    wanted_shards,
    weight_files,
)
from splitcore.models.manifest import Manifest, verify_folder
from splitcore.models.partial import Wanted, fetch_partial
from splitcore.models.plan import SegmentPlan
from splitcore.models.quantised import quantise_layers
from splitcore.models.slots import Port
from splitcore.models.twin import layer_arity, quiet_library

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def locate(
    source: str | Path,
    *,
    revision: str | None = None,
    plans: Sequence[SegmentPlan] | None = None,
    manifest: Manifest | None = None,
) -> Path:
    """The folder of a base model: as given, or fetched from the model hub, only the tensors that `plans` need.

    Without `plans` the whole model. What is fetched in part is compared with `manifest`.
    Raises AppError CL-1103, CL-1104, CL-1121.
    """
    folder = _given(source)
    if folder is not None:
        check_folder(folder)
        return folder
    with _fetching(source):
        if plans is None:
            folder = Path(snapshot_download(str(source), revision=revision, allow_patterns=SMALL_FILES))
            weights = ["*.safetensors"] if (folder / INDEX).is_file() else [SINGLE]
            folder = Path(snapshot_download(str(source), revision=folder.name, allow_patterns=SMALL_FILES + weights))
        else:
            folder = Path(snapshot_download(str(source), revision=revision, allow_patterns=SMALL_FILES))
            check_configuration(folder)
            tied = bool(getattr(read_config(folder), "tie_word_embeddings", False))
            folder = fetch_partial(folder, Wanted(str(source), folder.name, plans, tied, manifest))
    check_folder(folder)
    return folder


def locate_configuration(source: str | Path, *, revision: str | None = None) -> Path:
    """The folder with a base model's configuration and tokenizer; weights are there only where they lay already.

    Raises AppError CL-1103, CL-1121.
    """
    folder = _given(source)
    if folder is not None:
        check_folder(folder)
        return folder
    with _fetching(source):
        folder = Path(snapshot_download(str(source), revision=revision, allow_patterns=SMALL_FILES))
    check_configuration(folder)
    return folder


def _given(source: str | Path) -> Path | None:
    """The folder that `source` names, or None for an id of the model hub. Raises AppError CL-1103."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or str(source).startswith("."):
        raise AppError("CL-1103", "The folder of the base model doesn't exist on this machine.")
    return None


@contextmanager
def _fetching(source: str | Path) -> Iterator[None]:
    """Turn what the hub's client raises into AppError CL-1121."""
    try:
        yield
    except (httpx2.HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise AppError(
            "CL-1121",
            f"The base model '{source}' couldn't be fetched ({type(error).__name__}).",
            "Check the id and the network, or register a local folder with: cutlayer worker model add FOLDER.",
        ) from None


def read_config(folder: Path) -> PreTrainedConfig:
    """The configuration of the model in `folder`. Raises AppError CL-1103, CL-1101."""
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a configuration class may refuse a size in any way
        raise AppError(
            "CL-1103", f"The configuration of the base model can't be read ({type(error).__name__})."
        ) from None
    config = language_config(config)
    stock_class(config)
    layer_count(config)
    if getattr(config, "quantization_config", None) is not None:
        raise AppError("CL-1103", "The base model is quantised; only full-precision weights are supported.")
    return causal_config(config)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the model in `folder`. Raises AppError CL-1103."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # the library raises many kinds for a missing or damaged tokenizer
        raise AppError("CL-1103", f"The tokenizer of the base model can't be read ({type(error).__name__}).") from None
    return tokenizer


def load_segment(
    folder: Path,
    plan: SegmentPlan,
    model: ModelSection,
    *,
    classes: int = 0,
    device: str = "cpu",
    manifest: Manifest | None = None,
) -> Segment:
    """The carved model of one segment, frozen and in evaluation mode; with `classes`, of a classifier.

    Raises AppError CL-1103, CL-1104, CL-1109.
    """
    config = read_config(folder)
    if manifest is not None:
        verify_folder(folder, manifest, [plan])
    arity, config = layer_arity(config), classifier_config(config, classes)
    tied = bool(getattr(config, "tie_word_embeddings", False))
    if not plan.output:
        config.tie_word_embeddings = False
    port = Port()
    carved = carved_class(stock_class(config), plan, port, arity)
    with _only_wanted_shards(folder, plan, tied=tied) as reduced:
        loaded = _load(carved, reduced, config, compute_dtype(folder, model))
    quantise_layers(loaded, plan.total, model.quantisation)
    return Segment(_on(device, loaded), plan, port, dtype=compute_dtype(folder, model))


def load_whole(folder: Path, model: ModelSection, *, classes: int = 0, device: str = "cpu") -> PreTrainedModel:
    """The stock, unsplit model, frozen and in evaluation mode; with `classes`, a classifier of so many labels.

    A classifier's head has random weights, which an adapter replaces. Raises AppError CL-1103, CL-1109.
    """
    config = classifier_config(read_config(folder), classes)
    for path in weight_files(folder):
        if not path.is_file():
            raise AppError("CL-1103", f"The weight file {path.name} is missing.")
    loaded = _load(stock_class(config), folder, config, compute_dtype(folder, model))
    quantise_layers(loaded, layer_count(config), model.quantisation)
    if classes:
        # by its padding the library's classifier finds the token of which the label is told
        loaded.config.get_text_config(decoder=True).pad_token_id = padding_id(read_tokenizer(folder))
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
        raise AppError("CL-1103", f"The weights of the base model can't be loaded ({type(error).__name__}).") from None
    loaded: PreTrainedModel
    loaded, report = answer
    absent = set(report["missing_keys"])
    if is_classifier(config) and HEAD_WEIGHT in absent:
        absent.discard(HEAD_WEIGHT)
        compute_in_own_format(loaded)
    missing = sorted(absent) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise AppError(
            "CL-1103",
            f"The base model's weights lack {len(missing)} tensors, starting with {missing[0]}.",
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
