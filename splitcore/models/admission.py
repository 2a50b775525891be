"""The admission test: before a run, the chosen architecture is split in miniature and must equal the unsplit one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from splitcore.errors import AppError
from splitcore.models.carve import Segment, carved_class, layer_count, stock_class
from splitcore.models.plan import SegmentPlan, segment_plans
from splitcore.models.slots import Port
from splitcore.models.twin import build_twin, layer_arity, quiet_library

Results = tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]


def admit(config: PreTrainedConfig, topology: str = "u_shape") -> None:
    """Raise AppError CL-1101 unless head, body and tail of the tiny twin equal the whole one, difference 0.0."""
    _admit(_Hashable(config), topology)


class _Hashable:
    """A configuration that compares by its content, for the cache."""

    def __init__(self, config: PreTrainedConfig) -> None:
        self.config = config
        self._key = config.to_json_string(use_diff=False)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and other._key == self._key


@lru_cache(maxsize=64)
def _admit(wrapped: _Hashable, topology: str) -> None:
    config = wrapped.config
    twin = build_twin(config)
    arity = layer_arity(config)
    total = layer_count(twin.config)
    if total < 3:
        topology = "vanilla"
    if total < 2:
        raise AppError("CL-1002", "The model has a single layer: there is nothing to cut.")
    ids_BL = torch.arange(14).remainder(twin.config.get_text_config(decoder=True).vocab_size).reshape(2, 7)
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[1, 4:] = 0
    try:
        whole = _run_whole(twin, ids_BL, mask_BL)
        split = _run_split(twin, segment_plans(topology, 1, 1, total), arity, ids_BL, mask_BL)
    except AppError:
        raise
    except Exception as error:  # whatever a stock forward raises when it misses something: the split does not work
        line = str(error).splitlines()[0][:200] if str(error) else ""
        raise _refusal(config, f"{type(error).__name__}: {line}") from error
    difference = _difference(whole, split)
    if difference:
        raise _refusal(config, difference)


def _refusal(config: PreTrainedConfig, reason: str) -> AppError:
    return AppError(
        "CL-1101",
        f"Models of type '{config.model_type}' cannot be split exactly, so the run is refused.",
        details={"model_type": config.model_type, "reason": reason},
    )


def _loss(logits_BLV: torch.Tensor, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
    labels_BL = ids_BL.masked_fill(mask_BL == 0, -100)
    return torch.nn.functional.cross_entropy(logits_BLV[:, :-1].flatten(0, 1), labels_BL[:, 1:].flatten())


def _run_whole(model: PreTrainedModel, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> Results:
    logits_BLV = model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
    loss = _loss(logits_BLV, ids_BL, mask_BL)
    loss.backward()
    return logits_BLV.detach(), loss.detach(), _gradients(model)


def _run_split(
    twin: PreTrainedModel, plans: dict[Any, SegmentPlan], arity: int, ids_BL: torch.Tensor, mask_BL: torch.Tensor
) -> Results:
    """Run the segments one after the other, joined by detached tensors as the wire joins them."""
    segments = [_carved_twin(twin, plan, arity) for plan in plans.values()]
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
    return outputs[-1].detach(), loss.detach(), gradients


def _carved_twin(twin: PreTrainedModel, plan: SegmentPlan, arity: int) -> Segment:
    port = Port()
    with quiet_library(), torch.random.fork_rng(devices=[]):
        model = carved_class(stock_class(twin.config), plan, port, arity)(twin.config).float().eval()
    own = model.state_dict()
    model.load_state_dict({name: value for name, value in twin.state_dict().items() if name in own})
    return Segment(model, plan, port)


def _gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Gradients of everything but the embeddings, which head and tail of a tied model each hold a part of."""
    ends = {id(p) for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m for p in m.parameters()}
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None and id(p) not in ends}


def _difference(whole: Results, split: Results) -> str:
    """Empty when equal to the last bit, else what differs."""
    if not torch.equal(whole[0], split[0]):
        return f"the logits differ by up to {(whole[0] - split[0]).abs().max():.3g}"
    if not torch.equal(whole[1], split[1]):
        return "the loss differs"
    if set(whole[2]) != set(split[2]):
        return "some parameters receive no gradient in one of the two"
    for name, gradient in whole[2].items():
        if not torch.equal(gradient, split[2][name]):
            return f"the gradient of {name} differs by up to {(gradient - split[2][name]).abs().max():.3g}"
    return ""
