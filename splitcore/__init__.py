"""Cutlayer's engine: split fine-tuning of any decoder, as a plain library.

Importing this package loads no torch; what needs it is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from splitcore.config import RunConfig

if TYPE_CHECKING:
    from splitcore.launch.api import RunResult, fine_tune, fine_tune_unsplit

__all__ = ["RunConfig", "RunResult", "fine_tune", "fine_tune_unsplit"]

_LAZY = {"RunResult", "fine_tune", "fine_tune_unsplit"}


def __getattr__(name: str) -> Any:
    """Import the torch-bound half of the public face when it is first asked for."""
    if name in _LAZY:
        from splitcore.launch import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
