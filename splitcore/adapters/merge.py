"""The merged export: base model and adapter as one ordinary model folder, W + (α/r)·B·A in every adapted matrix."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from splitcore.adapters.segments import CONFIG, WEIGHTS
from splitcore.adapters.verify import classes_of, read_lora, verify_loads
from splitcore.config import ModelSection
from splitcore.errors import AppError
from splitcore.models.loading import load_whole
from splitcore.models.manifest import TOKENIZER_FILES
from splitcore.models.twin import quiet_library


@dataclass(frozen=True)
class MergeReport:
    """What was written."""

    adapted: int  # matrices that the adapter changed
    parameters: int
    dtype: str


def merge_adapter(adapter: Path, base: Path, out: Path, *, dtype: str = "auto") -> MergeReport:
    """Write `out`: the whole model with the adapter in its weights, as safetensors, with configuration and tokenizer.

    `adapter` is a PEFT folder or the zip that the hub offers, `base` the folder of its base model. `dtype` is
    auto (the base's own), float32 or bfloat16; in bfloat16 the sum is rounded to it. Computed as PEFT's
    `merge_and_unload` does. The whole model is held in memory.

    Raises AppError CL-1103 (base), CL-1106 (adapter), CL-1107 (`out` is there already).
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AppError("CL-1107", f"{out.name} already exists and isn't empty.")
    with adapter_folder(adapter) as folder:
        found = verify_loads(base, folder)
        if not found.ok:
            wrong = (*found.missing, *found.unexpected, *found.mismatched)
            named = "Use the base model of the run that made it. adapter_config.json in the adapter names it."
            raise AppError("CL-1106", f"The adapter doesn't fit this base model: {len(wrong)} tensors differ.", named)
        section = ModelSection.model_validate({"name_or_path": base.name, "dtype": dtype})
        model = merged_model(load_whole(base, section, classes=classes_of(folder)), folder)
    _write(model, base, out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return MergeReport(found.keys // 2, parameters, str(model.dtype).removeprefix("torch."))


def adapted_model(model: PreTrainedModel, adapter: Path) -> PeftModel:
    """`model` with the adapter of the PEFT folder beside its weights, which a quantised base only has for reading."""
    with quiet_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned: PeftModel = PeftModel.from_pretrained(model, str(adapter), config=read_lora(adapter)).eval()
    return tuned


def merged_model(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """`model` with the adapter of the PEFT folder in its weights, which must not be quantised.

    Raises AppError CL-1106 for values that overflow.
    """
    tuned = adapted_model(model, adapter)
    with quiet_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _untie(model)
        try:
            merged: PreTrainedModel = tuned.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise AppError("CL-1106", f"The adapter can't be merged ({type(error).__name__}).") from None
    return merged.eval()


def _untie(model: PreTrainedModel) -> None:
    """Give an adapted output head weights of its own: merged into a tied one, they would change the embedding too."""
    embedding: Any = model.get_input_embeddings()  # type: ignore[no-untyped-call]
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    stock: Any = getattr(head, "base_layer", None)
    if stock is None or stock.weight is not embedding.weight:
        return
    stock.weight = nn.Parameter(stock.weight.detach().clone(), requires_grad=False)
    config: Any = model.config
    for part in (config, config.get_text_config(decoder=True)):
        part.tie_word_embeddings = False
    model.all_tied_weights_keys = {}


def _write(model: PreTrainedModel, base: Path, out: Path) -> None:
    """Everything into a folder beside `out`, which then takes its place."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with quiet_library(), torch.no_grad():
            model.save_pretrained(partial)
        for name in TOKENIZER_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, partial / name)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # on a full disk it would hold the last of the room
        raise
    if out.is_dir():
        out.rmdir()
    partial.rename(out)


NOT_ADAPTER = "Give the folder of a PEFT adapter, or the zip file as downloaded from the hub."


@contextmanager
def adapter_folder(path: Path) -> Iterator[Path]:
    """The PEFT folder itself, or the two files that PEFT reads out of a zip. Raises AppError CL-1106."""
    if path.is_dir():
        if missing := [name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()]:
            raise AppError(
                "CL-1106", f"{path.name} isn't an adapter: it has no {' and no '.join(missing)}.", NOT_ADAPTER
            )
        yield path
        return
    with TemporaryDirectory(prefix="cutlayer-adapter-") as scratch:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in (CONFIG, WEIGHTS):  # by name: nothing else of the archive is unpacked
                    member = next(item for item in archive.namelist() if item.rsplit("/", 1)[-1] == name)
                    (Path(scratch) / name).write_bytes(archive.read(member))
        except (OSError, zipfile.BadZipFile, StopIteration) as error:
            raise AppError("CL-1106", f"{path.name} isn't an adapter ({type(error).__name__}).", NOT_ADAPTER) from None
        yield Path(scratch)
