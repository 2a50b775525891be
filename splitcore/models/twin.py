"""The tiny twin of an architecture: the same configuration class with few, narrow layers."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import RLock
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as library_logging

from splitcore.errors import AppError
from splitcore.models.carve import causal_config, find_layers, layer_count, stock_class
from splitcore.models.narrow import at_most, few_markers, few_tokens, narrow

_BUILDING = RLock()  # the library's verbosity and torch's seed are global
TWIN_LAYERS = 4
MAX_TWIN_PARAMETERS = 100_000_000
_LAYERS = (
    "num_hidden_layers",
    "num_layers",
    "n_layer",
    "n_layers",
    "decoder_layers",
    "num_decoder_layers",
    "num_blocks",
)
_ENCODER_LAYERS = ("encoder_layers", "num_encoder_layers")  # a decoder's class then reads them as its own
_DEPTHS = ("num_hidden_layers", "num_layers", "encoder_layers", "depth", "num_blocks")


def twin_config(config: PreTrainedConfig, *, slim: bool = True) -> PreTrainedConfig:
    """A copy of `config` with few layers that still cover its kinds of layer, and narrow where `slim`."""
    twin = copy.deepcopy(causal_config(config))
    found = twin.get_text_config(decoder=True)
    text: Any = twin if getattr(twin, "is_encoder_decoder", False) else found  # the library answers a copy there
    total = layer_count(twin)
    kept = _kept_layers(text, total)
    overrides = _without_overrides(text)
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == total:
            setattr(text, name, [value[index] for index in kept])
    _set_depth(text, total, len(kept))
    few_tokens(text)
    few_markers(twin)
    before = dict(vars(text))
    if slim:
        width = text.hidden_size
        narrow(text)
        _shallow_parts(twin, text, width)
    if overrides:
        text.per_layer_config = {
            place: {name: _scaled(value, before.get(name), getattr(text, name)) for name, value in layer.items()}
            for place, index in enumerate(kept)
            if (layer := overrides.get(index))
        }
    return twin


def _without_overrides(text: Any) -> dict[int, dict[str, Any]]:
    """Take the fields that differ by layer out of a configuration: layer number → field → value."""
    overrides = text.to_dict().get("per_layer_config") or {}
    if overrides:
        text.per_layer_config = None
    return {int(index): fields for index, fields in overrides.items()}


def _scaled(value: Any, before: Any, now: Any) -> Any:
    """What a layer's own value becomes where the global one went from `before` to `now`."""
    if isinstance(value, bool) or not isinstance(value, int) or not isinstance(before, int) or before == now:
        return value
    return max(1, value * now // before)


def _set_depth(text: Any, total: int, kept: int) -> None:
    """Write the number of layers under whatever name the configuration has for it."""
    names = [name for name in _LAYERS if vars(text).get(name) == total]
    for name in names or ["num_hidden_layers"]:
        setattr(text, name, kept)
    for name in _ENCODER_LAYERS:
        if isinstance(vars(text).get(name), int):
            setattr(text, name, kept)


def _shallow_parts(twin: Any, text: Any, width: int) -> None:
    """One layer for a vision or audio part, which text alone never reaches; narrow sizes for parts of the decoder."""
    for part in (getattr(twin, name, None) for name in getattr(twin, "sub_configs", {})):
        if part is None or part is text:
            continue
        depths = {name: depth for name in _DEPTHS if isinstance(depth := vars(part).get(name), int)}
        at_most(part)
        if not depths and getattr(part, "hidden_size", None) == width:
            part.hidden_size = text.hidden_size
        for name, depth in depths.items():
            for field, value in list(vars(part).items()):
                if isinstance(value, list) and len(value) == depth:
                    setattr(part, field, value[:1])
            setattr(part, name, 1)


def _kept_layers(text: PreTrainedConfig, total: int) -> list[int]:
    """Layer numbers to keep: the first ones, with one of every kind among them."""
    kinds = getattr(text, "layer_types", None)
    kept = list(range(min(TWIN_LAYERS, total)))
    if isinstance(kinds, list) and len(kinds) == total and total > TWIN_LAYERS:
        for kind in dict.fromkeys(kinds):
            if kind not in [kinds[index] for index in kept]:
                kept[len(kept) // 2] = kinds.index(kind)
    return sorted(kept)


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keep transformers from reporting on what is left out on purpose; one thread at a time builds a model."""
    with _BUILDING:
        level, bars = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
        library_logging.set_verbosity(logging.CRITICAL)
        library_logging.disable_progress_bar()
        try:
            yield
        finally:
            library_logging.set_verbosity(level)
            if bars:
                library_logging.enable_progress_bar()


def build_twin(config: PreTrainedConfig) -> PreTrainedModel:
    """The tiny twin in fp32 with random weights. Raises AppError CL-1101 where it cannot be built."""
    reason: Exception | None = None
    stock = stock_class(config)
    for slim in (True, False):
        try:
            small = twin_config(config, slim=slim)
            if _parameters(stock, small) > MAX_TWIN_PARAMETERS:
                continue
            with quiet_library(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = stock(small).float().eval()
            ids_BL = torch.zeros(1, 3, dtype=torch.long)
            with torch.no_grad():
                model(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False)
            return model
        except AppError:
            raise
        except Exception as error:  # a configuration class may refuse a size in any way
            reason = error
    raise AppError(
        "CL-1101", f"The admission test couldn't build a small '{config.model_type}' model.", details=_reason(reason)
    )


def _parameters(stock: type[PreTrainedModel], config: PreTrainedConfig) -> int:
    """Number of parameters, counted without making one."""
    with torch.device("meta"), quiet_library():
        return sum(parameter.numel() for parameter in stock(copy.deepcopy(config)).parameters())


def _reason(error: Exception | None) -> dict[str, Any]:
    """The class of a library's error and its first line."""
    return {"reason": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"}


class Content:
    """A configuration that compares by its content, for caches."""

    def __init__(self, config: PreTrainedConfig) -> None:
        self.config = config
        self._key = config.to_json_string(use_diff=False)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and other._key == self._key


def layer_arity(config: PreTrainedConfig) -> int:
    """How a stock layer answers: 0 for a tensor, n for a tuple of n."""
    return _layer_arity(Content(config))


@lru_cache(maxsize=64)
def _layer_arity(content: Content) -> int:
    return measured_arity(build_twin(content.config))


def measured_arity(model: PreTrainedModel) -> int:
    """How the first layer of a built model answers: 0 for a tensor, n for a tuple or list of n."""
    _, layers = find_layers(model, layer_count(model.config))
    arities: list[int] = []
    handle = layers[0].register_forward_hook(
        lambda _module, _args, output: arities.append(len(output) if isinstance(output, (tuple, list)) else 0)
    )
    ids_BL = torch.zeros(1, 3, dtype=torch.long)
    with torch.no_grad():
        model(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False)
    handle.remove()
    return arities[0]
