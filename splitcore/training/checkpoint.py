"""A half's checkpoint: adapter, optimiser and step in one folder that is there as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from splitcore.adapters.segments import json_bytes, write_folder
from splitcore.errors import AppError

ADAPTER, OPTIMISER, STATE = "adapter.safetensors", "optimiser.safetensors", "state.json"


@dataclass(frozen=True)
class CheckpointState:
    """What a checkpoint belongs to, and how many optimiser steps are in it."""

    step: int
    party: str
    config_hash: str
    contract: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read."""

    state: CheckpointState
    adapter: dict[str, torch.Tensor]
    optimiser: dict[str, torch.Tensor]


def save_checkpoint(
    folder: Path,
    state: CheckpointState,
    adapter: Mapping[str, torch.Tensor],
    optimiser: Mapping[str, torch.Tensor],
) -> None:
    """Write a checkpoint atomically."""
    files = {
        ADAPTER: save({name: value.detach().cpu().contiguous() for name, value in adapter.items()}),
        OPTIMISER: save({name: value.contiguous() for name, value in optimiser.items()}),
        STATE: json_bytes(asdict(state)),
    }
    write_folder(folder, files)


def load_checkpoint(folder: Path, *, party: str, config_hash: str) -> Checkpoint:
    """Read a checkpoint of the same party and configuration. Raises AppError CL-1505."""
    try:
        state = CheckpointState(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        checkpoint = Checkpoint(state, load_file(folder / ADAPTER), load_file(folder / OPTIMISER))
    except (OSError, ValueError, TypeError, SafetensorError):
        raise AppError("CL-1505", "The checkpoint cannot be read.") from None
    if (state.party, state.config_hash) != (party, config_hash):
        raise AppError("CL-1505", "The checkpoint belongs to another party or configuration.")
    return checkpoint
