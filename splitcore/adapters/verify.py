"""Whether a joined adapter loads: PEFT on the meta device, which needs the base model's configuration alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model

from splitcore.adapters.lora import adapter_parameters
from splitcore.adapters.segments import PREFIX, WEIGHTS
from splitcore.adapters.tensor_file import TensorFile
from splitcore.errors import AppError
from splitcore.models.carve import stock_class
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


def verify_loads(model_folder: Path, adapter_folder: Path) -> VerifyResult:
    """Place the adapter by its own configuration on the base model and compare the keys.

    Raises AppError CL-1106 for a file that cannot be read or holds values that are not finite.
    """
    tensors = {name.removeprefix(PREFIX): one.shape for name, one in TensorFile.open(adapter_folder / WEIGHTS).values()}
    config = read_config(model_folder)
    with quiet_library(), torch.device("meta"):
        model = stock_class(config)(config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lora = LoraConfig.from_pretrained(str(adapter_folder))
            inject_adapter_in_model(lora, model)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise AppError("CL-1106", f"PEFT cannot read the adapter ({type(error).__name__}).") from None
    places = {name: tuple(parameter.shape) for name, parameter in adapter_parameters(model)}
    return VerifyResult(
        keys=len(tensors),
        missing=tuple(sorted(places.keys() - tensors.keys())),
        unexpected=tuple(sorted(tensors.keys() - places.keys())),
        mismatched=tuple(sorted(n for n in places.keys() & tensors.keys() if places[n] != tuple(tensors[n]))),
    )
