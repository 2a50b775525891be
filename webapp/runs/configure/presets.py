"""Starting points: what each preset sets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A named set of values; all other fields go back to their defaults, except the base model."""

    key: str
    label: str
    why: str
    values: dict[str, dict[str, Any]]


_LAPTOP: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4, "alpha": 8.0},
    "training": {"steps": 20, "batch_size": 4, "max_length": 128, "eval_every": 10},
}
_PRIVACY: dict[str, dict[str, Any]] = {"split": {"topology": "u_shape", "head_layers": 4, "tail_layers": 4}}
_BANDWIDTH: dict[str, dict[str, Any]] = {"wire": {"activations": "int8", "gradients": "int8"}}
_QUALITY: dict[str, dict[str, Any]] = {
    "lora": {"rank": 32, "alpha": 64.0},
    "training": {"steps": 1000, "schedule": "cosine", "warmup": 50, "eval_every": 100},
}
PRESETS = (
    Preset("laptop", "Laptop test", "A few short steps to check that everything works together.", _LAPTOP),
    Preset("balanced", "Balanced", "The defaults. A good first run.", {}),
    Preset(
        "privacy",
        "Strong privacy",
        "U-shape with more layers on the data side. A deeper cut alone doesn't stop inversion.",
        _PRIVACY,
    ),
    Preset("bandwidth", "Low bandwidth", "8-bit numbers on the wire: about half the bytes of the default.", _BANDWIDTH),
    Preset("quality", "Best quality", "A larger adapter, a cosine schedule and more steps.", _QUALITY),
)


def preset_apply(config: dict[str, Any], key: str, layers: int = 0) -> dict[str, Any]:
    """The configuration with a preset's values in place of all others; the model, defences and overrides stay.

    In a small model (`layers`) the preset's cut is made to leave at least two layers for the body.
    """
    preset = next((preset for preset in PRESETS if preset.key == key), None)
    if preset is None:
        return config
    result: dict[str, Any] = {
        name: value for name, value in config.items() if name in ("model", "parties", "data", "privacy")
    }
    result |= {name: dict(values) for name, values in preset.values.items()}
    split = result.get("split")
    if split and layers:
        most = max(1, (layers - 2) // 2)
        for name in ("head_layers", "tail_layers"):
            split[name] = min(int(split[name]), most)
    return result
