"""The admission test: before a run, the chosen architecture is split in miniature and must equal the unsplit one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from splitcore.errors import AppError
from splitcore.models.carve import Segment, carve, hidden_width, layer_count, stock_class
from splitcore.models.plan import segment_plans
from splitcore.models.slots import Port
from splitcore.models.twin import Content, build_twin, measured_arity
from splitcore.models.types import refusal_of

_LENGTH = 7
_CAUSAL_TOLERANCE = 1e-3  # of the largest logit: a row's place in the batch may change the last bits


@dataclass(frozen=True)
class Results:
    """What one training pass gave: logits BLV, the loss, and the gradient of every parameter by name."""

    logits_BLV: torch.Tensor
    loss: torch.Tensor
    gradients: dict[str, torch.Tensor]


def admit(config: PreTrainedConfig, topology: str = "u_shape") -> None:
    """Raise AppError CL-1101 unless head, body and tail of the tiny twin equal the whole one, difference 0.0."""
    stock_class(config)
    declared = refusal_of(config.model_type, config.get_text_config(decoder=True))
    if declared:
        raise _refusal(config, declared)
    _admit(Content(config), topology)


@lru_cache(maxsize=64)
def _admit(content: Content, topology: str) -> None:
    config = content.config
    reason = difference_of(config, build_twin(config), topology)
    if reason:
        raise _refusal(config, reason)


def _refusal(config: PreTrainedConfig, reason: str) -> AppError:
    return AppError(
        "CL-1101",
        f"Models of type '{config.model_type}' can't be split exactly, so the run is refused.",
        details={"model_type": config.model_type, "reason": reason},
    )


def difference_of(config: PreTrainedConfig, twin: PreTrainedModel, topology: str = "u_shape") -> str:
    """What differs between the whole `twin` and its segments, in words; empty where nothing does, to the last bit.

    `twin` may carry an adapter; every parameter that requires a gradient is compared. Raises AppError CL-1002.
    """
    total = layer_count(twin.config)
    if total < 2:
        raise AppError("CL-1002", "The model has a single layer, so it can't be cut.")
    topology = topology if total > 2 else "vanilla"
    ids_BL, mask_BL = _batch(twin)
    try:
        arity = measured_arity(twin)
        segments = [_carved(twin, plan, arity) for plan in segment_plans(topology, 1, 1, total).values()]
        whole = _run_whole(twin, ids_BL, mask_BL)
        split, crossed = _run_split(segments, ids_BL, mask_BL)
    except AppError:
        raise
    except Exception as error:  # whatever a stock forward raises when it misses something: the split does not work
        line = str(error).splitlines()[0][:200] if str(error) else ""
        return f"{type(error).__name__}: {line}"
    return (
        _unlike(crossed, (*ids_BL.shape, hidden_width(twin.config))) or _foresight(whole) or _difference(whole, split)
    )


def _batch(twin: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask BL: a full row, the same with another last token, one padded right and one padded left."""
    vocabulary = twin.config.get_text_config(decoder=True).vocab_size
    ids_BL = (torch.arange(4 * _LENGTH).remainder(vocabulary - 4) + 3).reshape(4, _LENGTH)
    ids_BL[1, :-1] = ids_BL[0, :-1]
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[2, 4:] = 0
    mask_BL[3, :3] = 0
    return ids_BL, mask_BL


def _loss(logits_BLV: torch.Tensor, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
    labels_BL = ids_BL.masked_fill(mask_BL == 0, -100)
    return torch.nn.functional.cross_entropy(logits_BLV[:, :-1].flatten(0, 1), labels_BL[:, 1:].flatten())


def _run_whole(model: PreTrainedModel, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> Results:
    logits_BLV = model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
    loss = _loss(logits_BLV, ids_BL, mask_BL)
    loss.backward()
    return Results(logits_BLV.detach(), loss.detach(), _gradients(model))


def _run_split(
    segments: list[Segment], ids_BL: torch.Tensor, mask_BL: torch.Tensor
) -> tuple[Results, list[torch.Tensor]]:
    """Run the segments one after the other, joined by detached tensors as the wire joins them; also what crossed."""
    outputs: list[torch.Tensor] = [segments[0](mask_BL, ids_BL=ids_BL)]
    inputs: list[torch.Tensor] = []
    for segment in segments[1:]:
        inputs.append(outputs[-1].detach().requires_grad_())
        outputs.append(segment(mask_BL, hidden_BLD=inputs[-1]))
    loss = _loss(outputs[-1], ids_BL, mask_BL)
    loss.backward()
    for output, received in zip(reversed(outputs[:-1]), reversed(inputs), strict=True):
        output.backward(received.grad)
    gradients = {name: grad for segment in segments for name, grad in _gradients(segment.model).items()}
    return Results(outputs[-1].detach(), loss.detach(), gradients), inputs


def _carved(twin: PreTrainedModel, plan: Any, arity: int) -> Segment:
    """A segment with the twin's own weights."""
    port = Port()
    model = copy.deepcopy(twin)
    carve(model, plan, port, arity)
    return Segment(model, plan, port)


def _gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Gradients by name, but of tied embeddings, which head and tail each hold a part of."""
    ends = [module for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None]
    tied: set[int] = set()
    if getattr(model.config, "tie_word_embeddings", False):
        tied = {id(parameter) for module in ends for parameter in module.parameters()}
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None and id(p) not in tied}


def _unlike(crossed: list[torch.Tensor], shape: tuple[int, ...]) -> str:
    """Empty where one vector per token crosses each cut, which is all that the wire carries."""
    for hidden in crossed:
        if tuple(hidden.shape) != shape:
            return f"what crosses the cut has the shape {tuple(hidden.shape)} instead of one vector per token"
    return ""


def _foresight(whole: Results) -> str:
    """Empty where a token's logits do not change with the tokens after it."""
    one_LV, other_LV = whole.logits_BLV[0, :-1], whole.logits_BLV[1, :-1]
    if (one_LV - other_LV).abs().max() > _CAUSAL_TOLERANCE * one_LV.abs().max():
        return "as configured, the model sees the tokens it should predict (is it a decoder?)"
    return ""


def _difference(whole: Results, split: Results) -> str:
    """Empty when equal to the last bit, else what differs."""
    if not torch.equal(whole.logits_BLV, split.logits_BLV):
        return f"the logits differ by up to {(whole.logits_BLV - split.logits_BLV).abs().max():.3g}"
    if not torch.equal(whole.loss, split.loss):
        return "the loss differs"
    if set(whole.gradients) != set(split.gradients):
        odd = sorted(set(whole.gradients) ^ set(split.gradients))
        return f"{len(odd)} parameters receive no gradient in one of the two, starting with {odd[0]}"
    for name, gradient in whole.gradients.items():
        if not torch.equal(gradient, split.gradients[name]):
            return f"the gradient of {name} differs by up to {(gradient - split.gradients[name]).abs().max():.3g}"
    return ""
