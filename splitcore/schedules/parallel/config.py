"""Fields and answers of the schedule `parallel` (PSL, arXiv 2405.19503, in its exact form). Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from splitcore.fields import ui
from splitcore.schedules.interface import Exchange, Grouping, Lateness, Schedule


class Parallel(Grouping, Lateness, Schedule):
    """Every organisation takes part in every step, on one shared adapter."""

    name: Literal["parallel"] = "parallel"
    aggregate_every: int = Field(
        1,
        ge=0,
        le=1_000_000,
        description=(
            "How head and tail adapters are synchronised. 1: gradients are summed in every step (equals central"
            " training). k > 1: weights are averaged every k steps (approximate). 0: each organisation keeps its"
            " own."
        ),
        json_schema_extra=ui(unit="steps", level="advanced", label="Aggregate every"),
    )

    @model_validator(mode="after")
    def a_deadline_needs_parts_that_can_be_left_out(self) -> Parallel:
        """Where the others wait for a part in the middle of a step, or weights are exchanged, none can be left out."""
        if self.straggler != "wait" and (self.aggregate_every > 1 or self.group_clients):
            raise ValueError("straggler continue or pause needs aggregate_every 1 or 0, without group_clients.")
        return self

    def among_several(self) -> Exchange:
        """See `Schedule.among_several`."""
        every = self.aggregate_every
        return Exchange(gradients=every == 1, ends_averaged_every=every if every > 1 else 0, own_ends=every == 0)

    def words(self) -> str:
        """See `Schedule.words`."""
        return {
            0: "all in each step, each with its own head and tail",
            1: "all in each step, gradients of head and tail summed",
        }.get(self.aggregate_every, f"all in each step, head and tail averaged every {self.aggregate_every} steps")
