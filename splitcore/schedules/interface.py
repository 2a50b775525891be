"""What a schedule answers. Every question has the answer of the simplest one here: all train in each step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from splitcore.fields import Section, Strategy, ui

Straggler = Literal["wait", "continue", "pause"]


@dataclass(frozen=True)
class Exchange:
    """What several parties' adapters have to do with each other; with one party, nothing."""

    gradients: bool = False  # head and tail gradients are summed at the server half in every step
    ends_averaged_every: int = 0  # steps between averages of head and tail; 0: never
    bodies_averaged_every: int = 0  # steps between averages of the parties' own bodies; 0: never
    relayed_every: int = 0  # steps of a turn, after which head and tail go to the next client with their moments
    own_ends: bool = False  # head and tail are never exchanged: one adapter per party comes out
    own_body: bool = False  # the server half keeps a body adapter for each party

    @property
    def relays(self) -> bool:
        """Whether head and tail go from client to client."""
        return self.relayed_every > 0

    @property
    def alike(self) -> bool:
        """Whether every party holds the same model whenever it is evaluated."""
        return not (self.own_ends or self.own_body or self.ends_averaged_every)

    @property
    def sums_ends(self) -> bool:
        """Whether what several parties send of head and tail is needed as a sum alone."""
        return self.gradients or self.ends_averaged_every > 0

    @property
    def hides_ends(self) -> bool:
        """Whether the server half can do without reading what a single party sends of head and tail."""
        return self.sums_ends or self.relays

    @property
    def ends_cross(self) -> bool:
        """Whether gradients or weights of head and tail go to the server half during the run."""
        return self.gradients or self.relays or self.ends_averaged_every > 0


class Schedule(Strategy):
    """How several data organisations train together."""

    in_turn: ClassVar[bool] = False  # one client trains in a step

    def exchange(self, clients: int) -> Exchange:
        """What the adapters of so many data parties have to do with each other."""
        return Exchange() if clients < 2 else self.among_several()

    @abstractmethod
    def among_several(self) -> Exchange:
        """The exchange of two parties or more."""

    def turn(self, clients: int, step: int) -> int | None:
        """Place in the contract's order of the one client that trains in `step` (from 0); None: all train."""
        return None

    def own_steps(self, clients: int, place: int, step: int) -> int:
        """Steps that the client at `place` has trained in before `step`: what its sampler counts."""
        return step

    def steps_for(self, clients: int, own: int) -> int:
        """Steps of a run in which every client trains in at least `own`."""
        return own

    def groups(self, clients: int) -> bool:
        """Whether the body computes the same micro-batch of all parties as one batch."""
        return False

    def lateness(self) -> tuple[Straggler, float]:
        """What follows when a party is late, and after how many times the median time of a step it is."""
        return "wait", 1.5

    def words(self) -> str:
        """What it does, for a contract and a model card."""
        return str(self)


def each(steps: int, what: str) -> str:
    """In words: `turns of one step`, `rounds of 4 steps`."""
    return f"{what} of one step" if steps == 1 else f"{what} of {steps} steps"


class Grouping(Section):
    """The field of schedules in which all train in each step."""

    group_clients: bool = Field(
        False,
        description=(
            "Compute the same micro-batch of all organisations as one batch in the body. Faster with small "
            "micro-batches, but the server half then waits for every organisation."
        ),
        json_schema_extra=ui(level="advanced", label="Group micro-batches"),
    )

    def groups(self, clients: int) -> bool:
        """See `Schedule.groups`."""
        return self.group_clients and clients > 1


class Lateness(Section):
    """The fields of schedules that can go on without one party's part of a step."""

    straggler: Straggler = Field(
        "wait",
        description=(
            "What happens when an organisation is late for a step. wait: the others wait for it. continue: the"
            " step continues with those present, and late parts are dropped. Which steps are affected depends on"
            " timing, so a repeated run differs. pause: the run stops at that point and can be resumed."
        ),
        json_schema_extra=ui(level="advanced", label="Late organisation"),
    )
    deadline_factor: float = Field(
        1.5,
        ge=1.05,
        le=100,
        description="An organisation is late after this multiple of the median step time.",
        json_schema_extra=ui(unit="× median", level="advanced", label="Deadline"),
    )

    def lateness(self) -> tuple[Straggler, float]:
        """See `Schedule.lateness`."""
        return self.straggler, self.deadline_factor
