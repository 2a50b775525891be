"""The number format that `model.dtype` stands for, the same for every party (torch-free)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Dtype = Literal["float32", "bfloat16"]


def resolve_dtype(chosen: str, model_config: Mapping[str, Any]) -> Dtype:
    """`chosen`, or for auto the checkpoint's own format as its `config.json` names it.

    Only the configuration counts, never the tensors: a party that loads other tensors must come to the same answer.
    float16, whose narrow range would need loss scaling, becomes float32, which holds every one of its values;
    so does a configuration that names no format.
    """
    if chosen != "auto":
        return "bfloat16" if chosen == "bfloat16" else "float32"
    text = model_config.get("text_config")
    for fields in (model_config, text if isinstance(text, Mapping) else {}):
        for key in ("dtype", "torch_dtype"):
            if isinstance(fields.get(key), str):
                return "bfloat16" if fields[key].removeprefix("torch.") == "bfloat16" else "float32"
    return "float32"
