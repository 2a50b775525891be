"""A model's shape, read from the model itself: built from its configuration on the meta device, without a weight.

The segments are carved as a run carves them and the adapter is laid out as a run lays it out, so that what is counted
is what they hold. Loads torch; a worker measures when a base model is registered (`python -m workers.measuring`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from splitcore.adapters.lora import adaptable, adapter_layout
from splitcore.config import LoraSection, resolve_dtype
from splitcore.errors import AppError
from splitcore.models.carve import carved_class, find_layers, hidden_width, layer_count, stock_class
from splitcore.models.files import read_json
from splitcore.models.loading import read_config
from splitcore.models.plan import SegmentPlan
from splitcore.models.slots import Port
from splitcore.models.twin import quiet_library
from splitcore.planning.shape import MOST_LAYERS, Layer, Linear, ModelShape


def measure_folder(folder: Path) -> ModelShape:
    """The shape of the model in `folder`. Raises AppError CL-1101, CL-1103, CL-1105."""
    return measure(read_config(folder), dtype=resolve_dtype("auto", read_json(folder / "config.json")))


def measure(config: PreTrainedConfig, *, dtype: str = "float32") -> ModelShape:
    """The shape of the model of a configuration; `dtype` is what `model.dtype: auto` stands for.

    Raises AppError CL-1101 where no decoder can be built of it, or one beyond what can be planned; CL-1105.
    """
    total = layer_count(config)
    if total > MOST_LAYERS:
        raise AppError("CL-1101", f"The model has {total} layers, and {MOST_LAYERS} are the most that can be planned.")
    try:
        whole = _on_meta(stock_class(config), config)
        path, layers = find_layers(whole, total)
        adapted = _adapted(config)
        described = [_layer(layer, f"{path}.{place}", adapted, config) for place, layer in enumerate(layers)]
        kinds = tuple(dict.fromkeys(described))
        return ModelShape(
            hidden=hidden_width(config),
            kinds=kinds,
            order=tuple(kinds.index(one) for one in described),
            layers_path=path,
            output_head=_output_head(whole),
            **_ends(config, total),
            dtype="bfloat16" if dtype == "bfloat16" else "float32",
        )
    except AppError:
        raise
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]
        raise AppError("CL-1101", f"The model's layout cannot be planned: {wrong[:200]}.") from None
    except Exception as error:  # a configuration class and a model class may refuse a size in any way
        raise AppError(
            "CL-1101", f"A model of type '{config.model_type}' cannot be built to be measured ({type(error).__name__})."
        ) from None


def _adapted(config: PreTrainedConfig) -> dict[str, Linear]:
    """Every module that the target `all-linear` adapts, by its name in the whole model, as PEFT sizes it there."""
    lora = LoraSection()
    shapes = adapter_layout(config, lora).shapes
    return {
        name: Linear(path=name, inputs=size[1], outputs=shapes[f"{name}.lora_B.weight"][0], ranks=size[0] // lora.rank)
        for full, size in shapes.items()
        if (name := full.removesuffix(".lora_A.weight")) != full
    }


def _on_meta(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    with quiet_library(), torch.device("meta"):
        return model_class(copy.deepcopy(config))


def _layer(layer: nn.Module, path: str, adapted: dict[str, Linear], config: PreTrainedConfig) -> Layer:
    """What one decoder layer, named `path` in the whole model, consists of."""
    width = int(config.get_text_config(decoder=True).hidden_size)
    linears = {name: module for name, module in layer.named_modules() if adaptable(module)}
    sizes = {name: _sizes(module) for name, module in linears.items()}
    attention = _outermost_attention(layer)
    within = [[size for name, size in sizes.items() if _is_within(name, module)] for module in attention]
    beside = [size for name, size in sizes.items() if not any(_is_within(name, module) for module in attention)]
    widths = [_attention_widths(own, width) for own in within]
    banks = _expert_banks(layer)
    weights = sum(inputs * outputs for inputs, outputs in sizes.values())
    experts = sum(bank.parameters for bank in banks)
    return Layer(
        linears=tuple(
            Linear(
                path=name,
                inputs=sizes[name][0],
                outputs=sizes[name][1],
                all_linear=f"{path}.{name}" in adapted,
                quantises=type(module) in (nn.Linear, Conv1D),
            )
            for name, module in linears.items()
        ),
        expert_adapters=tuple(
            one.model_copy(update={"path": name, "quantises": False})
            for full, one in adapted.items()
            if (name := full.removeprefix(f"{path}.")) != full and name not in linears
        ),
        experts=experts,
        active_experts=sum(bank.parameters * bank.active // bank.count for bank in banks),
        other=sum(parameter.numel() for parameter in layer.parameters()) - weights - experts,
        heads=_heads(config) if attention else 0,
        query=sum(query for query, _ in widths),
        key=sum(key for _, key in widths),
        inner=max((inputs for inputs, outputs in beside if outputs == width), default=0)
        + sum(bank.active * bank.inner(width) for bank in banks),
    )


def _sizes(module: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear module; GPT-2's lies as inputs × outputs."""
    rows, columns = (int(size) for size in module.weight.shape)  # type: ignore[union-attr]
    return (rows, columns) if isinstance(module, Conv1D) else (columns, rows)


def _outermost_attention(layer: nn.Module) -> list[str]:
    """Names of a layer's attention modules, without those inside another."""
    found: list[str] = []
    for name, module in layer.named_modules():
        if name and "Attention" in type(module).__name__ and not any(_is_within(name, outer) for outer in found):
            found.append(name)
    return found


def _is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _attention_widths(sizes: list[tuple[int, int]], width: int) -> tuple[int, int]:
    """Widths of all queries and of all keys: what leads back to `width` takes the first, what leaves it gives the rest.

    The maps into queries, keys and values may be three or one.
    """
    query = max((inputs for inputs, outputs in sizes if outputs == width), default=0)
    given = sum(outputs for inputs, outputs in sizes if inputs == width) - (width if query == width else 0)
    return query, max(0, given - query) // 2


def _heads(config: PreTrainedConfig) -> int:
    """Heads of attention as the configuration names them; one where it doesn't."""
    told = config.get_text_config(decoder=True).to_dict()
    for name in ("decoder_attention_heads", "num_attention_heads", "n_head", "n_heads", "num_heads"):
        if isinstance(value := told.get(name), int) and value > 0:
            return value
    return 1


@dataclass(frozen=True)
class _ExpertBank:
    """Experts whose matrices are held as one tensor, as transformers 5 does."""

    tensors: tuple[nn.Parameter, ...]
    count: int
    active: int  # as many as one token meets

    @property
    def parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors)

    def inner(self, width: int) -> int:
        """Width inside one expert: the smaller of its matrices is `width` times as large."""
        dimensions = max(tensor.dim() for tensor in self.tensors)
        matrices = [tensor for tensor in self.tensors if tensor.dim() == dimensions]
        counts = [tensor.shape[0] if dimensions == 3 else self.count for tensor in matrices]
        return min(tensor.numel() // (count * width) for tensor, count in zip(matrices, counts, strict=True))


def _expert_banks(layer: nn.Module) -> list[_ExpertBank]:
    """The experts of a layer: those of one parent and number belong together."""
    chosen = [value for module in layer.modules() if isinstance(value := getattr(module, "top_k", None), int)]
    found: dict[tuple[str, int, bool], list[nn.Parameter]] = {}
    for name, module in layer.named_modules():
        tensors = list(module.parameters(recurse=False))
        if "Expert" not in type(module).__name__ or adaptable(module) or all(one.dim() < 2 for one in tensors):
            continue
        is_shared = "shared" in name.rpartition(".")[2]
        found.setdefault((name.rpartition(".")[0], _count(module, tensors), is_shared), []).extend(tensors)
    return [
        _ExpertBank(tuple(tensors), count, min(count, chosen[0]) if chosen and not is_shared else count)
        for (_, count, is_shared), tensors in found.items()
    ]


def _count(module: nn.Module, tensors: list[nn.Parameter]) -> int:
    """How many experts a module holds: the first dimension of its tensors, or its own number of them."""
    stacked = [int(one.shape[0]) for one in tensors if one.dim() == 3]
    named = [value for name, value in vars(module).items() if "num_experts" in name and isinstance(value, int)]
    return max(stacked or named or [1])


def _output_head(whole: PreTrainedModel) -> Linear:
    """The module that gives the logits. Raises AppError CL-1101 where there is none."""
    module = whole.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, one in whole.named_modules():
        if one is module and adaptable(one):
            inputs, outputs = _sizes(one)
            return Linear(path=name, inputs=inputs, outputs=outputs, all_linear=False, quantises=False)
    raise AppError("CL-1101", f"{type(whole).__name__} has no linear output head.")


def _ends(config: PreTrainedConfig, total: int) -> dict[str, int]:
    """Weights that the carved segments hold beside their layers."""
    cut = max(1, total - 1)
    head = _carved(config, SegmentPlan("head", 0, min(1, cut), total, embedding=True, output=False))
    body = _carved(config, SegmentPlan("body", 1, cut, total, embedding=False, output=False))
    tail = _carved(config, SegmentPlan("tail", cut, total, total, embedding=False, output=True))
    return {
        "head_ends": _beside_layers(head, total),
        "body_ends": _beside_layers(body, total),
        "output_ends": _beside_layers(tail, total),
        "shared_ends": _shared(head, tail),
    }


def _carved(config: PreTrainedConfig, plan: SegmentPlan) -> PreTrainedModel:
    """A segment as `load_segment` makes it, without its weights; how a layer answers is of no account here."""
    config = copy.deepcopy(config)
    if not plan.output:
        config.tie_word_embeddings = False
    return _on_meta(carved_class(stock_class(config), plan, Port(), 0), config)


def _beside_layers(segment: PreTrainedModel, total: int) -> int:
    path, _ = find_layers(segment, total)
    return sum(p.numel() for name, p in segment.named_parameters() if not name.startswith(f"{path}."))


def _shared(head: PreTrainedModel, tail: PreTrainedModel) -> int:
    """Weights of the embedding that a party's tail shares with its head, where the output is tied to it."""
    ours, theirs = (getattr(one.get_input_embeddings(), "weight", None) for one in (head, tail))
    if isinstance(ours, nn.Parameter) and isinstance(theirs, nn.Parameter) and ours.shape == theirs.shape:
        return ours.numel()
    return 0
