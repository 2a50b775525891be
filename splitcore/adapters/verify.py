"""Whether a joined adapter loads: PEFT on the meta device, which needs the base model's configuration alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model

from splitcore.adapters.lora import adapter_parameters
from splitcore.adapters.peft_config import Terms, WholeConfig
from splitcore.adapters.segments import CONFIG, HEAD_KEY, PREFIX, WEIGHTS, read_object
from splitcore.adapters.tensor_file import TensorFile, module_of
from splitcore.errors import AppError
from splitcore.models.carve import stock_class
from splitcore.models.classifier import HEAD_WEIGHT, classifier_config
from splitcore.models.loading import read_config
from splitcore.models.twin import quiet_library


@dataclass(frozen=True)
class VerifyResult:
    """The outcome: every key of the file has its place, and every place its key."""

    keys: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the adapter loads completely."""
        return self.keys > 0 and not (self.missing or self.unexpected or self.mismatched)


def read_lora(adapter_folder: Path) -> LoraConfig:
    """PEFT's configuration of an adapter, built from the fields that were checked. Raises AppError CL-1106.

    PEFT itself never reads the file: it would import, search and fetch what the file names.
    """
    return LoraConfig(**WholeConfig.read(read_object(adapter_folder / CONFIG)).keywords())


def classes_of(adapter_folder: Path) -> int:
    """How many labels the adapter's classification head tells apart; 0 without one. Raises AppError CL-1106."""
    head = TensorFile.open(adapter_folder / WEIGHTS).shapes.get(HEAD_KEY)
    return 0 if head is None else head[0]


def verify_loads(model_folder: Path, adapter_folder: Path, *, terms: Terms | None = None) -> VerifyResult:
    """Place the adapter by its own configuration on the base model and compare the keys.

    Raises AppError CL-1106 for a file that cannot be read or holds values that are not finite, and with `terms` where
    rank, alpha or dropout are not the contract's.
    """
    tensors = {name.removeprefix(PREFIX): one.shape for name, one in TensorFile.open(adapter_folder / WEIGHTS).values()}
    whole = WholeConfig.read(read_object(adapter_folder / CONFIG))
    if terms is not None:
        parts = {name: module_of(f"{PREFIX}{name}") for name in tensors}
        ranks = {module: tensors[name][0] for name, (module, part) in parts.items() if part == "A"}
        whole.check(terms, ranks, tensors.get(HEAD_WEIGHT))
    config = classifier_config(read_config(model_folder), classes_of(adapter_folder))
    with quiet_library(), torch.device("meta"):
        model = stock_class(config)(config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = LoraConfig(**whole.keywords())
            settings.modules_to_save = None  # the head has its place already
            inject_adapter_in_model(settings, model)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise AppError("CL-1106", f"PEFT can't read the adapter ({type(error).__name__}).") from None
    places = {name: tuple(parameter.shape) for name, parameter in adapter_parameters(model)}
    return VerifyResult(
        keys=len(tensors),
        missing=tuple(sorted(places.keys() - tensors.keys())),
        unexpected=tuple(sorted(tensors.keys() - places.keys())),
        mismatched=tuple(sorted(n for n in places.keys() & tensors.keys() if places[n] != tuple(tensors[n]))),
    )
