"""What the hub plans with of a registered model: the measured layout, and plain numbers of `config.json` in bounds.

A worker registers what its file says, or what it likes; other organisations' pages and contracts are computed from it.
"""

from __future__ import annotations

from typing import Any

from splitcore.errors import AppError
from splitcore.planning.shape import contradiction
from workers.contracts import ModelRegistration

# Each far above the largest model that there is; products of them stay within what pages and columns hold.
_LIMITS = {
    1 << 12: ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    1 << 14: ("num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok"),
    1 << 15: ("num_attention_heads", "n_head", "num_heads", "num_key_value_heads", "head_dim"),
    1 << 18: ("hidden_size", "n_embd", "d_model", "dim"),
    1 << 20: ("intermediate_size", "n_inner", "ffn_dim", "moe_intermediate_size"),
    1 << 24: ("vocab_size", "n_positions", "max_position_embeddings"),
}


def model_config_problem(config: dict[str, Any]) -> str:
    """What of a model's configuration nobody can plan with; nothing where it is in order.

    A value that is not read is no problem: it is left out of account.
    """
    text = config.get("text_config")
    if text is not None and not isinstance(text, dict):
        return "text_config is not an object"
    for source in (config, text or {}):
        for limit, names in _LIMITS.items():
            for name in names:
                value = source.get(name)
                if isinstance(value, int) and not 0 <= value <= limit:
                    return f"{name} is not between 0 and {limit}"
    return ""


def model_check(registration: ModelRegistration) -> None:
    """Refuse (CL-1415) a registration that cannot be planned with, or whose layout contradicts its configuration."""
    if problem := model_config_problem(registration.config):
        raise AppError("CL-1415", f"The model's configuration is refused: {problem}.")
    if registration.shape is not None and (problem := contradiction(registration.shape, registration.config)):
        raise AppError("CL-1415", f"The model's layout is refused: {problem}.")
