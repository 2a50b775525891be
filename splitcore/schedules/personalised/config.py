"""Answers of the schedule `personalised`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from splitcore.schedules.interface import Exchange, Grouping, Lateness, Schedule


class Personalised(Grouping, Lateness, Schedule):
    """A shared body, and a head and tail of its own for each organisation."""

    name: Literal["personalised"] = "personalised"

    @model_validator(mode="after")
    def a_deadline_needs_parts_that_can_be_left_out(self) -> Personalised:
        """Where the others wait for a part in the middle of a step, none can be left out."""
        if self.straggler != "wait" and self.group_clients:
            raise ValueError("straggler continue or pause doesn't go with group_clients.")
        return self

    def among_several(self) -> Exchange:
        """See `Schedule.among_several`."""
        return Exchange(own_ends=True)

    def words(self) -> str:
        """See `Schedule.words`."""
        return "one body, each with its own head and tail"
