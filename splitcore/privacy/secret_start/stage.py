"""Where an adapter begins, from a secret (torch)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from splitcore.boundary.stages import ClientStage
from splitcore.privacy.noise import Noise


class SecretStartStage(ClientStage):
    """Does nothing at the cut: the adapters began elsewhere, that is all."""


def draw_weights(adapter: Mapping[str, nn.Parameter], secret: bytes) -> None:
    """A as PEFT distributes it, uniform within ± 1 / √(inputs), but from (secret, name); B stays zero."""
    with torch.no_grad():
        for name, parameter in adapter.items():
            if name.endswith(".lora_A.weight"):
                drawn = 2.0 * Noise(secret).uniform(b"first weights\0", name.encode(), parameter.numel()) - 1.0
                bound = parameter.shape[1] ** -0.5
                parameter.copy_(torch.from_numpy(bound * drawn).reshape(parameter.shape).float())
