"""LoRA through PEFT: the layout on the unsplit model, placing it on a segment, and initial weights from a seed."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save
from torch import nn
from transformers import PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from splitcore.adapters.segments import PREFIX
from splitcore.config import LoraSection, ModelSection
from splitcore.errors import AppError
from splitcore.models.carve import find_layers, layer_count, stock_class
from splitcore.models.classifier import HEAD, HEAD_WEIGHT, check_head, labels_of, language_config
from splitcore.models.plan import SegmentPlan
from splitcore.models.twin import quiet_library

# PEFT refuses this module in these types: their kernels read its weight and pass its forward by
FUSED_OUTPUTS = frozenset({"out_proj"})
FUSED_TYPES = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})
LAYOUTS_KEPT = 16
_HEADS = frozenset({HEAD_WEIGHT, f"{PREFIX}{HEAD}.modules_to_save.default.weight"})
HEAD_STD = 0.02  # of the initial weights of a classification head, as the library draws them


@dataclass(frozen=True)
class AdapterLayout:
    """The adapter of the unsplit model: target modules, and name → shape in the order of its parameters.

    A classifier's head is a part of it, and is trained as a whole.
    """

    targets: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    fan_in_fan_out: bool
    layers: str  # name of the list of decoder layers
    classes: int = 0  # labels that its classification head tells apart; 0: it has none
    frozen: int = 0  # so many first layers have no adapter

    @property
    def excluded(self) -> str | None:
        """What PEFT calls exclude_modules: an expression for every module of the frozen layers."""
        numbers = "|".join(str(number) for number in range(self.frozen))
        return rf"{re.escape(self.layers)}\.({numbers})\..*" if self.frozen else None

    def held_by(self, name: str, plan: SegmentPlan) -> bool:
        """Whether a segment holds the tensor `name`: by its layer, else by the output head."""
        if name.startswith(f"{self.layers}."):
            return plan.owns(int(name[len(self.layers) + 1 :].partition(".")[0]))
        return plan.output

    def order(self, names: set[str]) -> list[str]:
        """`names` in the unsplit model's order."""
        return [name for name in self.shapes if name in names]


_layouts: dict[tuple[type[PreTrainedConfig], str, str, int], AdapterLayout] = {}
_laying_out = Lock()


def adapter_layout(config: PreTrainedConfig, lora: LoraSection, frozen: int = 0) -> AdapterLayout:
    """Place the adapter on the whole model on the meta device, where it takes no memory. Raises AppError CL-1105.

    frozen: so many first layers get none.

    all-linear means the linear modules of the decoder layers: what stands outside them belongs to no one segment.
    The newest ones are kept: both halves and the unsplit run in one process ask for the same.
    """
    key = (type(config), config.to_json_string(use_diff=False), lora.model_dump_json(), frozen)
    with _laying_out:
        if key not in _layouts:
            made = _lay_out(config, lora, frozen)
            if len(_layouts) >= LAYOUTS_KEPT:
                del _layouts[next(iter(_layouts))]
            _layouts[key] = made
        return _layouts[key]


def _lay_out(config: PreTrainedConfig, lora: LoraSection, frozen: int) -> AdapterLayout:
    with quiet_library(), torch.device("meta"):
        model = stock_class(config)(config)
    layers, _ = find_layers(model, layer_count(config))
    classes = labels_of(config)
    if classes:
        check_head(model, layers, _layers_of_decoder(config))
    output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    linear = {name for name, module in model.named_modules() if adaptable(module)}
    inside = {name for name in linear if name.startswith(f"{layers}.")}
    if lora.target_modules == "all-linear":
        fused = FUSED_OUTPUTS if config.model_type in FUSED_TYPES else frozenset[str]()
        targets = _short_names(
            {name for name in inside if name.rpartition(".")[2] not in fused}, set(dict(model.named_modules()))
        )
    else:
        targets = tuple(sorted(set(lora.target_modules)))
    chosen = {name: module for name, module in model.named_modules() if _targeted(name, targets)}
    if not chosen:
        raise AppError("CL-1105", "None of the target modules exists in the model.", details={"targets": list(targets)})
    if any(name not in inside and module is not output for name, module in chosen.items()):
        raise AppError("CL-1105", "A target module isn't a linear module of the decoder layers.")
    fan_in_fan_out = any(isinstance(module, Conv1D) for module in chosen.values())
    layout = AdapterLayout(targets, {}, fan_in_fan_out, layers, classes, frozen)
    place(model, layout, lora)
    return replace(layout, shapes={n: tuple(p.shape) for n, p in adapter_parameters(model)})


def _layers_of_decoder(config: PreTrainedConfig) -> str:
    """The name of the list of layers in the model that predicts tokens."""
    config = language_config(config)
    with quiet_library(), torch.device("meta"):
        return find_layers(stock_class(config)(config), layer_count(config))[0]


def adaptable(module: nn.Module) -> bool:
    """Whether LoRA fits: a linear module, but no router, some of which inherit from one and answer a tuple."""
    return isinstance(module, (nn.Linear, Conv1D)) and "Router" not in type(module).__name__


def _short_names(chosen: set[str], every: set[str]) -> tuple[str, ...]:
    """Names by their last part where no module that was not chosen shares it."""
    others = {name.rpartition(".")[2] for name in every - chosen}
    return tuple(sorted({last if (last := name.rpartition(".")[2]) not in others else name for name in chosen}))


def _targeted(name: str, targets: tuple[str, ...]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def lora_config(layout: AdapterLayout, lora: LoraSection, model: ModelSection | None = None) -> LoraConfig:
    """PEFT's configuration of the adapter."""
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=list(layout.targets),
        exclude_modules=layout.excluded,
        fan_in_fan_out=layout.fan_in_fan_out,
        bias="none",
        task_type="SEQ_CLS" if layout.classes else "CAUSAL_LM",
        modules_to_save=[HEAD] if layout.classes else None,
        base_model_name_or_path=model.name_or_path if model else None,
        revision=model.revision if model else None,
    )


def config_dict(config: LoraConfig) -> dict[str, Any]:
    """PEFT's configuration as it stands in adapter_config.json."""
    data = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    return {**data, "target_modules": sorted(config.target_modules or []), "inference_mode": True}


def place(model: nn.Module, layout: AdapterLayout, lora: LoraSection) -> bool:
    """Put the adapter on `model`'s own target modules; False where it has none. Only the adapter is trainable."""
    own = [name for name, module in model.named_modules() if adaptable(module) and _targeted(name, layout.targets)]
    if layout.excluded is not None:
        own = [name for name in own if not re.fullmatch(layout.excluded, name)]
    if own:
        settings = lora_config(layout, lora)
        settings.target_modules, settings.modules_to_save = own, None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inject_adapter_in_model(settings, model)
    head = dict(model.named_parameters()).get(HEAD_WEIGHT) if layout.classes else None
    if head is not None:
        head.requires_grad_(True)
    prepare_for_training(model)
    return bool(own) or head is not None


def prepare_for_training(model: nn.Module) -> None:
    """Only the adapter drops out: the base stays in evaluation mode, so that it computes alike everywhere."""
    model.eval()
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.lora_dropout.train()


@contextmanager
def without_dropout(*models: nn.Module) -> Iterator[None]:
    """Evaluate with the adapter's dropout switched off. All else is in evaluation mode already."""
    modules = (module for model in models for module in model.modules())
    dropouts = [module.lora_dropout for module in modules if isinstance(module, LoraLayer)]
    for dropout in dropouts:
        dropout.eval()
    try:
        yield
    finally:
        for dropout in dropouts:
            dropout.train()


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Canonical name and parameter of each adapter weight: the name that it has in the unsplit model.

    A classifier's head is one of them, in PEFT's wrapping or without.
    """
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            yield name.removeprefix(PREFIX).replace(".default", ""), parameter
        elif name in _HEADS:
            yield HEAD_WEIGHT, parameter


def initialise(model: nn.Module, seed: int) -> None:
    """Initial weights from (seed, name) alone, in fp32: A Kaiming-uniform as PEFT does, B zero, a head normal."""
    with torch.no_grad():
        for name, parameter in adapter_parameters(model):
            parameter.data = parameter.data.float()
            if name.endswith(".lora_A.weight"):
                initial = torch.empty(parameter.shape, dtype=torch.float32)
                generator = torch.Generator(device="cpu").manual_seed(seed_for(seed, name))
                nn.init.kaiming_uniform_(initial, a=math.sqrt(5), generator=generator)
                parameter.copy_(initial)
            elif name == HEAD_WEIGHT:
                generator = torch.Generator(device="cpu").manual_seed(seed_for(seed, name))
                parameter.copy_(torch.empty(parameter.shape).normal_(std=HEAD_STD, generator=generator))
            else:
                parameter.zero_()


def seed_for(seed: int, *parts: object) -> int:
    """A 63-bit seed from SHA-256 of (seed, parts): the same on every machine and for every cut."""
    text = "\0".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def weights_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    """Canonical name → tensor as PEFT's safetensors file."""
    named = {PREFIX + name: value.detach().float().cpu().contiguous() for name, value in tensors.items()}
    return bytes(save(named, metadata={"format": "pt"}))
