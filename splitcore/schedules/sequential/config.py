"""Fields and answers of the schedule `sequential` (split learning, arXiv 1812.00564). Torch-free."""

from __future__ import annotations

from math import ceil
from typing import ClassVar, Literal

from pydantic import Field

from splitcore.fields import ui
from splitcore.schedules.interface import Exchange, Schedule, each


class Sequential(Schedule):
    """One organisation after the other, in the contract's order."""

    in_turn: ClassVar[bool] = True
    name: Literal["sequential"] = "sequential"
    turn_steps: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="Steps per organisation before the next one's turn.",
        json_schema_extra=ui(unit="steps", level="advanced", label="Steps per turn"),
    )
    relay: bool = Field(
        True,
        description=(
            "Pass the head and tail adapters, through the compute organisation, to the organisation whose turn is"
            " next. Off: each organisation keeps its own, and the run produces one adapter per organisation."
        ),
        json_schema_extra=ui(level="advanced", label="Pass adapters on"),
    )

    def among_several(self) -> Exchange:
        """See `Schedule.among_several`."""
        return Exchange(relayed_every=self.turn_steps if self.relay else 0, own_ends=not self.relay)

    def turn(self, clients: int, step: int) -> int | None:
        """See `Schedule.turn`."""
        return step // self.turn_steps % clients

    def own_steps(self, clients: int, place: int, step: int) -> int:
        """See `Schedule.own_steps`."""
        rounds, rest = divmod(step, self.turn_steps * clients)
        return rounds * self.turn_steps + min(max(rest - place * self.turn_steps, 0), self.turn_steps)

    def steps_for(self, clients: int, own: int) -> int:
        """Whole turns of every client."""
        return own if clients < 2 else ceil(own / self.turn_steps) * self.turn_steps * clients

    def words(self) -> str:
        """See `Schedule.words`."""
        ends = "handed on" if self.relay else "kept by each organisation"
        return f"{each(self.turn_steps, 'turns')}, head and tail {ends}"
