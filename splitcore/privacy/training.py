"""What the defences that act through training have in common: where they make no sense. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splitcore.config import RunConfig


def needs_trained_head(name: str, config: RunConfig) -> str:
    """Why a defence that trains the head doesn't go with a configuration; empty if it does."""
    return "" if config.lora.train_head else f"{name} acts by training the head. Turn on lora.train_head."
