"""Carving: a stock model class whose un-owned parts are slots from its construction on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, Cache, PreTrainedConfig, PreTrainedModel

from splitcore.errors import AppError
from splitcore.models.classifier import classifier_class, is_classifier, token_scores
from splitcore.models.files import FINAL_NORMS
from splitcore.models.plan import SegmentPlan
from splitcore.models.recompute import recompute_layers
from splitcore.models.slots import Port, Slot, SlotRole, inject_at, slot_for, tap_at


def stock_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The library's own causal-LM class of a configuration, or its classifier. Raises AppError CL-1101, CL-1109."""
    if is_classifier(config):
        return classifier_class(config)
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        found: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        return cast("type[PreTrainedModel]", found[0] if isinstance(found, tuple) else found)
    for whole in MODEL_FOR_CAUSAL_LM_MAPPING:  # the text part of a composite configuration that alone is registered
        if whole.__module__ == type(config).__module__:
            found = MODEL_FOR_CAUSAL_LM_MAPPING[whole]
            if getattr(found, "config_class", None) is type(config):
                return cast("type[PreTrainedModel]", found)
    raise AppError("CL-1101", f"The model type '{config.model_type}' has no decoder that predicts the next token.")


def causal_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """What the causal-LM class takes: of a composite configuration often the text part (the library's own rule)."""
    text = config.sub_configs.get("text_config")
    if text is not None and getattr(stock_class(config), "config_class", None) is text:
        return config.get_text_config()
    return config


def layer_count(config: PreTrainedConfig) -> int:
    """Number of decoder layers. Raises AppError CL-1101."""
    text = config.get_text_config(decoder=True)
    count = vars(text).get("num_layers") or getattr(text, "num_hidden_layers", None)
    if not isinstance(count, int) or count < 1:
        raise AppError("CL-1101", f"The configuration of '{config.model_type}' names no number of decoder layers.")
    return count


def hidden_width(config: PreTrainedConfig) -> int:
    """Width D of the hidden states between layers: several streams of hyper-connections lie side by side."""
    text = config.get_text_config(decoder=True)
    return int(text.hidden_size) * int(getattr(text, "hc_count", 1))


def find_layers(model: nn.Module, total: int) -> tuple[str, nn.ModuleList]:
    """Name and list of the decoder layers: the outermost ModuleList of that length. Raises AppError CL-1101."""
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == total]
    if not found:
        raise AppError("CL-1101", f"{type(model).__name__} has no list of its {total} decoder layers.")
    return min(found, key=lambda item: item[0].count("."))


def carve(model: PreTrainedModel, plan: SegmentPlan, port: Port, arity: int) -> None:
    """Put slots into every position of `model` that `plan` does not own."""
    name, layers = find_layers(model, plan.total)
    embeddings = model.get_input_embeddings()
    port.embedding_width = int(getattr(embeddings, "embedding_dim", hidden_width(model.config)))
    for index in range(plan.total):
        if not plan.owns(index):
            layers[index] = slot_for(layers[index], _role(index, plan), port, arity)
    _drop_senses(model, name, port)
    if not plan.embedding and plan.start == 0:
        inject_at(layers[0], port)
    if not plan.output:
        if plan.end == plan.total:
            tap_at(layers[-1], port)
        _drop_output(model, name, port)
    if not plan.embedding and not (plan.output and getattr(model.config, "tie_word_embeddings", False)):
        model.set_input_embeddings(slot_for(embeddings, SlotRole.THROUGH, port))
    _forget_missing_ties(model)


def _role(index: int, plan: SegmentPlan) -> SlotRole:
    """What the slot at an un-owned position does."""
    if index == plan.start - 1 and not plan.embedding:
        return SlotRole.INJECT
    if index == plan.end and not plan.output:
        return SlotRole.TAP
    return SlotRole.THROUGH


def _drop_output(model: PreTrainedModel, layers: str, port: Port) -> None:
    """Replace the final norm, beside the list named `layers`, and the output head."""
    parent = model.get_submodule(layers.rpartition(".")[0])
    for name, child in list(parent.named_children()):
        if name in FINAL_NORMS and _own_parameters(child):  # one without weights may also serve before the layers
            setattr(parent, name, slot_for(child, SlotRole.THROUGH, port))
    for name, child in list(model.named_children()):
        if name != layers.partition(".")[0]:
            _empty(model, name, child, port)


def _drop_senses(model: PreTrainedModel, layers: str, port: Port) -> None:
    """Take the weights out of a vision or audio part, which text never reaches: what stands beside the text's model."""
    if not model.config.sub_configs:
        return
    embeddings = model.get_input_embeddings()
    path = layers.split(".")
    for depth in range(1, len(path) - 1):
        parent = model.get_submodule(".".join(path[:depth]))
        for name, child in list(parent.named_children()):
            if name != path[depth] and embeddings not in child.modules():
                setattr(parent, name, slot_for(child, SlotRole.THROUGH, port))


def _own_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _empty(parent: nn.Module, name: str, module: nn.Module, port: Port) -> None:
    """Take the weights out of what stands behind the base model: an output head, with whatever leads to it."""
    if next(module.parameters(recurse=False), None) is not None and not list(module.children()):
        setattr(parent, name, slot_for(module, SlotRole.THROUGH, port))
        return
    for own, _ in list(module.named_parameters(recurse=False)):
        setattr(module, own, None)
        module._is_hf_initialized = True  # type: ignore[assignment]  # the library would initialise what is gone
    for inner, child in list(module.named_children()):
        _empty(module, inner, child, port)


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
        _initialise_owned_only(self)

    return type(stock.__name__, (stock,), {"__init__": build, "__module__": stock.__module__})


def _initialise_owned_only(model: PreTrainedModel) -> None:
    """Keep slots from the stock initialisation: it fills buffers that no checkpoint holds and may visit each layer."""
    for inner in model.modules():
        if isinstance(inner, PreTrainedModel):
            stock = inner._init_weights

            def initialise(module: nn.Module, stock: Callable[[nn.Module], None] = stock) -> None:
                with _without_slots(module):
                    stock(module)

            inner._init_weights = initialise  # type: ignore[method-assign]


@contextmanager
def _without_slots(module: nn.Module) -> Iterator[None]:
    """Show a module's lists of layers without their slots: a stock initialisation may reach into every layer."""
    lists = {n: c for n, c in module.named_children() if isinstance(c, nn.ModuleList)}
    slotted = {n: c for n, c in lists.items() if any(isinstance(layer, Slot) for layer in c)}
    try:
        for name, layers in slotted.items():
            setattr(module, name, nn.ModuleList(layer for layer in layers if not isinstance(layer, Slot)))
        yield
    finally:
        for name, layers in slotted.items():
            setattr(module, name, layers)


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

    def recompute(self, *, draws: bool) -> None:
        """Hold each layer's input alone from forward to backward; `draws`: whether a layer drops out."""
        recompute_layers(find_layers(self.model, self.plan.total)[1], draws=draws, port=self._port)

    def __call__(
        self,
        mask_BL: torch.Tensor,
        *,
        ids_BL: torch.Tensor | None = None,
        hidden_BLD: torch.Tensor | None = None,
        cache: Cache | None = None,
    ) -> torch.Tensor:
        """Hidden states BLD that leave the segment, or logits BLV where it owns the output head.

        `cache`: of the keys and values of earlier tokens, which grows; the mask is then of those tokens too.
        """
        inputs: dict[str, Any] = {"attention_mask": mask_BL, "use_cache": cache is not None}
        if cache is not None:
            inputs["past_key_values"] = cache
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
            logits_BLV = token_scores(self.model, inputs)
            self._port.injected_BLD = None
            return logits_BLV
        self.model.base_model(**inputs)
        tapped_BLD = self._port.tapped_BLD
        self._port.injected_BLD = self._port.tapped_BLD = None
        if tapped_BLD is None:
            raise RuntimeError("no slot was reached")
        return tapped_BLD
