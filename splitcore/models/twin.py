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
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as library_logging

from splitcore.errors import AppError
from splitcore.models.carve import find_layers, layer_count, stock_class

_BUILDING = RLock()  # the library's verbosity and torch's seed are global
TWIN_LAYERS = 4
TWIN_VOCABULARY = 64
MAX_TWIN_PARAMETERS = 100_000_000
_SMALL = {
    "intermediate_size": 64,
    "ffn_dim": 64,
    "n_inner": 64,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "max_position_embeddings": 64,
}


def twin_config(config: PreTrainedConfig, *, narrow: bool = True) -> PreTrainedConfig:
    """A copy of `config` with few layers that still cover its kinds of layer, and narrow where `narrow`."""
    twin = copy.deepcopy(config)
    text = twin.get_text_config(decoder=True)
    total = layer_count(config)
    kept = _kept_layers(text, total)
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == total:
            setattr(text, name, [value[index] for index in kept])
    text.num_hidden_layers = len(kept)
    text.vocab_size = min(text.vocab_size, TWIN_VOCABULARY)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if getattr(text, name, None) is not None:
            setattr(text, name, 0)
    if narrow:
        _narrow(text)
    return twin


def _kept_layers(text: PreTrainedConfig, total: int) -> list[int]:
    """Layer numbers to keep: the first ones, with one of every kind among them."""
    kinds = getattr(text, "layer_types", None)
    kept = list(range(min(TWIN_LAYERS, total)))
    if isinstance(kinds, list) and len(kinds) == total and total > TWIN_LAYERS:
        for kind in dict.fromkeys(kinds):
            if kind not in [kinds[index] for index in kept]:
                kept[len(kept) // 2] = kinds.index(kind)
    return sorted(kept)


def _narrow(text: Any) -> None:
    """Fewer heads of the same width: rotary settings depend on a head's width."""
    heads, width = text.num_attention_heads, text.hidden_size
    explicit = getattr(text, "head_dim", None)
    groups = getattr(text, "num_key_value_heads", None)
    fewer = min(2, heads)
    if groups is not None:
        text.num_key_value_heads = fewer if groups == heads else 1
    text.num_attention_heads = fewer
    # where the width does not follow from the heads, grouped matrix products want a multiple of 16
    text.hidden_size = fewer * (width // heads) if explicit is None else -(-fewer * explicit // 16) * 16
    for name in ("word_embed_proj_dim", "n_embd", "embedding_size"):
        if getattr(text, name, None) == width:
            setattr(text, name, text.hidden_size)
    for name, value in _SMALL.items():
        current = getattr(text, name, None)
        if isinstance(current, int) and current > value:
            setattr(text, name, value)


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
    for narrow in (True, False):
        try:
            small = twin_config(config, narrow=narrow)
            if _parameters(small) > MAX_TWIN_PARAMETERS:
                continue
            with quiet_library(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = stock_class(small)(small).float().eval()
            ids_BL = torch.zeros(1, 3, dtype=torch.long)
            with torch.no_grad():
                model(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False)
            return model
        except AppError:
            raise
        except Exception as error:  # a configuration class may refuse a size in any way
            reason = error
    raise AppError(
        "CL-1101", f"The admission test could not build a small '{config.model_type}' model.", details=_reason(reason)
    )


def _parameters(config: PreTrainedConfig) -> int:
    """Number of parameters, counted without making one."""
    with torch.device("meta"), quiet_library():
        return sum(parameter.numel() for parameter in stock_class(config)(config).parameters())


def _reason(error: Exception | None) -> dict[str, Any]:
    """The class of a library's error and its first line."""
    return {"reason": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"}


def layer_arity(config: PreTrainedConfig) -> int:
    """How a stock layer answers: 0 for a tensor, n for a tuple of n."""
    return _layer_arity(config.to_json_string(use_diff=False))


@lru_cache(maxsize=64)
def _layer_arity(config_json: str) -> int:
    import json

    fields = json.loads(config_json)
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    model = build_twin(config)
    _, layers = find_layers(model, layer_count(model.config))
    arities: list[int] = []
    handle = layers[0].register_forward_hook(
        lambda _module, _args, output: arities.append(len(output) if isinstance(output, tuple) else 0)
    )
    ids_BL = torch.zeros(1, 3, dtype=torch.long)
    with torch.no_grad():
        model(input_ids=ids_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False)
    handle.remove()
    return arities[0]
