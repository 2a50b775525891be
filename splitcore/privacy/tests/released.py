"""Releases of a defence on made-up hidden states, for the tests of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from splitcore.boundary.choice import CutStrategy, Place
from splitcore.boundary.stages import At, ClientStage
from splitcore.config import RunConfig
from splitcore.privacy.registry import DEFENCES
from splitcore.privacy.secret import NAME
from splitcore.wire.protocol.messages import Phase

KEY = bytes(range(32))
WIDTH, VOCABULARY = 256, 50
MASK_BL = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
IDS_BL = torch.tensor([[3, 49, 0, 7], [12, 3, 1, 1]])
HIDDEN_BLD = torch.randn(2, 4, WIDTH, generator=torch.Generator().manual_seed(5)) * 3


def defence(name: str, **fields: Any) -> CutStrategy:
    """A defence of the registry."""
    (found,) = [one for one in DEFENCES if one.model_fields["name"].default == name]
    return found(**fields)


def stage_of(choice: CutStrategy, folder: Path) -> ClientStage:
    """As a party builds it, with KEY as the secret and an embedding of VOCABULARY tokens."""
    (folder / NAME).write_bytes(KEY)
    config = RunConfig.parse({"model": {"name_or_path": "m"}})
    return choice.build(Place(config, "a", _Head(), WIDTH, folder))  # type: ignore[arg-type]


def at(
    *,
    rows: tuple[int, ...] | None = (3, 9),
    held_out: tuple[int, ...] | None = None,
    micro: int = 0,
    count: int = 2,
    extra: int = 0,
) -> At:
    """The micro-batch of the first rows of HIDDEN_BLD, with further padding."""
    mask_BL, ids_BL = (torch.nn.functional.pad(tensor_BL[:count], (0, extra)) for tensor_BL in (MASK_BL, IDS_BL))
    return At(0, micro, mask_BL, rows, held_out, ids_BL=ids_BL)


def released(stage: ClientStage, tensor_BLD: torch.Tensor, where: At | None = None) -> torch.Tensor:
    """What leaves."""
    return stage.protect(tensor_BLD, Phase.HEAD_UP, where or at())


class _Head:
    """As much of a segment as a defence looks at."""

    def __init__(self) -> None:
        self.model = self

    def get_input_embeddings(self) -> torch.nn.Embedding:
        """Of VOCABULARY tokens."""
        return torch.nn.Embedding(VOCABULARY, 1)
