"""How configurations of schema 1 are read: before strategies had fields of their own (torch-free).

Drafts, contracts and checkpoints hold them, and people go on writing them.
"""

from __future__ import annotations

from typing import Any

from splitcore.fields import names_of
from splitcore.schedules.registry import SCHEDULES

_EACH_MODES = ("aggregate_every", "turn_steps", "relay", "group_clients", "deadline_factor")
ROUNDINGS = ("nearest", "stochastic", "rotated")


def wire_read(data: Any) -> Any:
    """The section `wire`: the rounding of gradients stood beside their codec. Raises ValueError."""
    if not isinstance(data, dict) or "gradient_rounding" not in data:
        return data
    rest = {name: value for name, value in data.items() if name != "gradient_rounding"}
    rounding, codec = data["gradient_rounding"], rest.get("gradients", "bf16")
    if rounding not in ROUNDINGS:
        raise ValueError(f"gradient_rounding is one of {', '.join(ROUNDINGS)}.")
    if not isinstance(codec, str):
        raise ValueError("Set the rounding either in gradients or as gradient_rounding, not both.")
    if rounding in _offered(codec):
        rest["gradients"] = {"name": codec, "rounding": rounding}
    return rest


def schedule_read(data: Any) -> Any:
    """The section `schedule`: its name was its `mode`, and it had the fields of every mode, most without effect."""
    if not isinstance(data, dict) or "name" in data:
        return data
    mode = data.get("mode", "parallel")
    own = next((one.model_fields for one in SCHEDULES if mode in names_of(one)), {})
    without_effect = {*_EACH_MODES, *(["straggler"] if data.get("straggler", "wait") == "wait" else [])} - {*own}
    return {"name": mode, **{k: v for k, v in data.items() if k != "mode" and k not in without_effect}}


def privacy_read(data: Any) -> Any:
    """The section `privacy`: its one field said that there was no mechanism. Raises ValueError."""
    if not isinstance(data, dict) or "mechanism" not in data:
        return data
    if data["mechanism"] != "none":
        raise ValueError("The field mechanism no longer exists. List the defences to apply in defences.")
    return {name: value for name, value in data.items() if name != "mechanism"}


def _offered(codec: str) -> tuple[str, ...]:
    """How values were rounded to a format, beyond the nearest; all others ignored what was asked for."""
    return {"fp32": (), "bf16": (), "int8": ("stochastic",)}.get(codec, ROUNDINGS[1:])
