"""Fields and answers of the schedule `splitfed_v1` (SplitFed, arXiv 2004.12088). Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from splitcore.fields import ui
from splitcore.schedules.interface import Exchange, Grouping, Schedule, each


class SplitFedV1(Grouping, Schedule):
    """Each organisation trains a model of its own; all of them are averaged in rounds."""

    name: Literal["splitfed_v1"] = "splitfed_v1"
    aggregate_every: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="Steps per round. All adapters are averaged after each round.",
        json_schema_extra=ui(unit="steps", level="advanced", label="Steps per round"),
    )

    def among_several(self) -> Exchange:
        """See `Schedule.among_several`."""
        every = self.aggregate_every
        return Exchange(ends_averaged_every=every, bodies_averaged_every=every, own_body=True)

    def words(self) -> str:
        """See `Schedule.words`."""
        return f"all averaged in {each(self.aggregate_every, 'rounds')}"
