"""The fields that all caches of activations share. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from splitcore.fields import Section, ui


class Room(Section):
    """How much may be kept, and where."""

    cache_mb: int = Field(
        2_000,
        ge=1,
        le=10_000_000,
        description=(
            "Size limit of each activation cache at a party. Rows that don't fit are sent in full at each visit."
        ),
        json_schema_extra=ui(unit="MB", level="advanced", label="Cache limit"),
    )
    cache_on: Literal["memory", "disk"] = Field(
        "memory",
        description="Where activation caches are kept. On disk they are unnamed files that end with the run's process.",
        json_schema_extra=ui(level="advanced", label="Caches"),
    )
