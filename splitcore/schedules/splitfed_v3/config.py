"""Fields and answers of the schedule `splitfed_v3` (arXiv 2004.12088 as varied in 2012.01489). Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from splitcore.fields import ui
from splitcore.schedules.interface import Exchange, Grouping, Schedule, each


class SplitFedV3(Grouping, Schedule):
    """Each organisation trains a model of its own; the bodies are averaged in rounds, heads and tails are kept."""

    name: Literal["splitfed_v3"] = "splitfed_v3"
    aggregate_every: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="Steps per round. The body adapters are averaged after each round.",
        json_schema_extra=ui(unit="steps", level="advanced", label="Steps per round"),
    )

    def among_several(self) -> Exchange:
        """See `Schedule.among_several`."""
        return Exchange(bodies_averaged_every=self.aggregate_every, own_body=True, own_ends=True)

    def words(self) -> str:
        """See `Schedule.words`."""
        return f"bodies averaged in {each(self.aggregate_every, 'rounds')}, each with its own head and tail"
