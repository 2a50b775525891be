"""What is measured: every defence at three strengths on the demo's model, some on a real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.frame import Scale
from tests.benchmarks.privacy.portfolio import portfolio_of

DEMO, REAL = "demo", "smollm2-135m"
STRENGTHS = ("weak", "medium", "strong")
NONE = "none"
Sections = dict[str, Any]
FROZEN: Sections = {"lora": {"train_head": False}}  # noise of a known law has a ceiling where the head is frozen


def _noise(name: str, **options: Any) -> Sections:
    return {**FROZEN, "privacy": {"defences": [{"name": name, **options}]}}


def _defended(name: str, **options: Any) -> Sections:
    return {"privacy": {"defences": [{"name": name, **options}]}}


def _strengths(name: str, option: str, *values: float) -> tuple[Sections, ...]:
    return tuple(_defended(name, **{option: value}) for value in values)


def _mixed_and_noisy(noise: float) -> Sections:
    mixed, noisy = {"name": "token_mixup", "share": 0.6}, {"name": "gaussian", "clip": 180.0, "noise": noise}
    return {**FROZEN, "privacy": {"defences": [mixed, noisy]}}


def gaussian(noise: float, clip: float) -> Sections:
    """Clipped rows with noise, behind a frozen head. noise: σ over the clip."""
    return _noise("gaussian", clip=clip, noise=noise)


# The median norm of a token's vector behind two layers, of rows of E2E.
CLIP = {DEMO: 180.0, REAL: 75.0}

ROW = 1400.0  # of a whole row in the demo's model

# Defence → its strengths, the weakest first. Noise: about 0.3, 1 and 3 times the rms of a number, whatever the law.
ON_DEMO: dict[str, tuple[Sections, ...]] = {
    "gaussian": (gaussian(0.02, CLIP[DEMO]), gaussian(0.07, CLIP[DEMO]), gaussian(0.2, CLIP[DEMO])),
    "matrix_gaussian": (
        _noise("matrix_gaussian", clip=ROW, noise=0.003),
        _noise("matrix_gaussian", clip=ROW, noise=0.01),
        _noise("matrix_gaussian", clip=ROW, epsilon=8),
    ),
    "dchi": tuple(_noise("dchi", clip=CLIP[DEMO], eta=eta) for eta in (3.9, 1.1, 0.39)),
    "importance_noise": tuple(_noise("importance_noise", clip=CLIP[DEMO], noise=noise) for noise in (0.01, 0.035, 0.1)),
    "nopeek": _strengths("nopeek", "weight", 1, 10, 100),
    "adversarial": _strengths("adversarial", "weight", 0.1, 1, 10),
    "token_mixup": _strengths("token_mixup", "share", 0.3, 0.6, 1),
    "bottleneck": _strengths("bottleneck", "weight", 0.1, 1, 10),
    "secret_start": (_defended("secret_start"),),
    "token_mixup + gaussian": (_mixed_and_noisy(0.02), _mixed_and_noisy(0.07), _mixed_and_noisy(0.2)),
}
ON_REAL: dict[str, Sections] = {
    "gaussian": gaussian(0.02, CLIP[REAL]),
    "matrix_gaussian": _noise("matrix_gaussian", clip=500.0, noise=0.003),
    "dchi": _noise("dchi", clip=CLIP[REAL], eta=16.0),
    "nopeek": _defended("nopeek", weight=10),
    "token_mixup": _defended("token_mixup", share=0.6),
    "secret_start": _defended("secret_start"),
}


@dataclass(frozen=True)
class Setting:
    """One configuration and seed. changes: sections of a RunConfig over the model's recipe."""

    model: str
    defence: str
    strength: str
    seed: int
    task: str = "text"
    changes: Mapping[str, Any] = field(default_factory=dict)

    def key(self, scale: Scale) -> str:
        """Two settings with the same key have the same result."""
        about = [self.model, self.task, self.changes, self.seed, scale.quick, portfolio_of(self.model).model_dump()]
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.model}, {self.defence} {self.strength}".rstrip() + f", seed {self.seed}"


def settings(scale: Scale) -> list[Setting]:
    """All of them, those first that others are compared with."""
    seeds = range(scale.of(3, 1))
    found = [Setting(DEMO, NONE, "", seed) for seed in seeds]
    for seed in seeds:
        for defence, levels in ON_DEMO.items():
            found += [
                Setting(DEMO, defence, strength, seed, changes=changes)
                for strength, changes in zip(STRENGTHS if len(levels) > 1 else ("on",), levels, strict=True)
                if strength in ("medium", "on") or not scale.quick
            ]
    if not scale.quick:
        found.append(Setting(REAL, NONE, "", 0))
        found += [Setting(REAL, name, "medium", 0, changes=changes) for name, changes in ON_REAL.items()]
    return found
