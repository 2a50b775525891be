"""Carving: a stock model class whose un-owned parts are slots from its construction on."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel

from splitcore.errors import AppError
from splitcore.models.files import FINAL_NORMS
from splitcore.models.plan import SegmentPlan
from splitcore.models.slots import Port, Slot, SlotRole, inject_at, slot_for, tap_at


def stock_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The library's own causal-LM class of a configuration. Raises AppError CL-1101."""
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise AppError("CL-1101", f"The model type '{config.model_type}' has no decoder that predicts the next token.")
    found: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return cast("type[PreTrainedModel]", found[0] if isinstance(found, tuple) else found)


def layer_count(config: PreTrainedConfig) -> int:
    """Number of decoder layers. Raises AppError CL-1101."""
    count = getattr(config.get_text_config(decoder=True), "num_hidden_layers", None)
    if not isinstance(count, int) or count < 1:
        raise AppError("CL-1101", f"The configuration of '{config.model_type}' names no number of decoder layers.")
    return count


def hidden_width(config: PreTrainedConfig) -> int:
    """Width D of the hidden states between layers."""
    return int(config.get_text_config(decoder=True).hidden_size)


def find_layers(model: nn.Module, total: int) -> tuple[str, nn.ModuleList]:
    """Name and list of the decoder layers: the outermost ModuleList of that length. Raises AppError CL-1101."""
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == total]
    if not found:
        raise AppError("CL-1101", f"{type(model).__name__} has no list of its {total} decoder layers.")
    return min(found, key=lambda item: item[0].count("."))


def carve(model: PreTrainedModel, plan: SegmentPlan, port: Port, arity: int) -> None:
    """Put slots into every position of `model` that `plan` does not own."""
    name, layers = find_layers(model, plan.total)
    parent = model.get_submodule(name.rpartition(".")[0])
    embeddings = model.get_input_embeddings()
    port.embedding_width = int(getattr(embeddings, "embedding_dim", hidden_width(model.config)))
    for index in range(plan.total):
        if not plan.owns(index):
            layers[index] = slot_for(layers[index], _role(index, plan), port, arity)
    if not plan.embedding and plan.start == 0:
        inject_at(layers[0], port)
    if not plan.output:
        if plan.end == plan.total:
            tap_at(layers[-1], port)
        _drop_output(model, parent, port)
    if not plan.embedding and not (plan.output and getattr(model.config, "tie_word_embeddings", False)):
        model.set_input_embeddings(Slot(SlotRole.THROUGH, port))
    _forget_missing_ties(model)


def _role(index: int, plan: SegmentPlan) -> SlotRole:
    """What the slot at an un-owned position does."""
    if index == plan.start - 1 and not plan.embedding:
        return SlotRole.INJECT
    if index == plan.end and not plan.output:
        return SlotRole.TAP
    return SlotRole.THROUGH


def _drop_output(model: PreTrainedModel, parent: nn.Module, port: Port) -> None:
    """Replace the final norm and the output head."""
    for child in FINAL_NORMS & {name for name, module in parent.named_children() if module is not None}:
        setattr(parent, child, Slot(SlotRole.THROUGH, port))
    if model.get_output_embeddings() is not None:
        model.set_output_embeddings(Slot(SlotRole.THROUGH, port))


def _forget_missing_ties(model: PreTrainedModel) -> None:
    """Keep only those tied weights whose both ends are still there."""
    there = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    ties = getattr(model, "all_tied_weights_keys", None)
    if ties:
        model.all_tied_weights_keys = {a: b for a, b in ties.items() if a in there and b in there}


def carved_class(stock: type[PreTrainedModel], plan: SegmentPlan, port: Port, arity: int) -> type[PreTrainedModel]:
    """A subclass of `stock` that carves itself while it is built, so that `from_pretrained` never fills a slot."""

    def build(self: PreTrainedModel, config: PreTrainedConfig, *args: Any, **kwargs: Any) -> None:
        stock.__init__(self, config, *args, **kwargs)
        carve(self, plan, port, arity)

    return type(stock.__name__, (stock,), {"__init__": build, "__module__": stock.__module__})


class Segment:
    """A carved model with its port: the head takes token ids, the others take hidden states."""

    def __init__(
        self, model: PreTrainedModel, plan: SegmentPlan, port: Port, *, dtype: torch.dtype | None = None
    ) -> None:
        self.model = model
        self.dtype = dtype or model.dtype  # of its hidden states; a quantised model has no weights to ask
        self.plan = plan
        self._port = port

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.device

    def __call__(
        self,
        mask_BL: torch.Tensor,
        *,
        ids_BL: torch.Tensor | None = None,
        hidden_BLD: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Hidden states BLD that leave the segment, or logits BLV where it owns the output head."""
        inputs: dict[str, torch.Tensor] = {"attention_mask": mask_BL}
        if hidden_BLD is None:
            if ids_BL is None:
                raise ValueError("give token ids or hidden states")
            inputs["input_ids"] = ids_BL
        else:
            width = self._port.embedding_width
            batch, length = mask_BL.shape
            inputs["inputs_embeds"] = torch.zeros(batch, length, width, dtype=hidden_BLD.dtype, device=self.device)
        self._port.injected_BLD = hidden_BLD
        self._port.tapped_BLD = None
        if self.plan.output:
            logits_BLV: torch.Tensor = self.model(**inputs, use_cache=False).logits
            self._port.injected_BLD = None
            return logits_BLV
        self.model.base_model(**inputs, use_cache=False)
        tapped_BLD = self._port.tapped_BLD
        self._port.injected_BLD = self._port.tapped_BLD = None
        if tapped_BLD is None:
            raise RuntimeError("no slot was reached")
        return tapped_BLD
