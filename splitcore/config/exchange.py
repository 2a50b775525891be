"""What a schedule means: who trains in which step, and what becomes of the parties' adapters (torch-free).

The one place from which the halves, the planner and the hub's pages read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from splitcore.config.run import RunConfig
from splitcore.config.sections import ScheduleSection


@dataclass(frozen=True)
class Exchange:
    """What several parties' adapters have to do with each other; with one party, nothing."""

    gradients: bool = False  # head and tail gradients are summed at the server half in every step
    average_every: int = 0  # steps between averages of weights; 0: never
    relays: bool = False  # head and tail go from client to client, with the optimiser's moments
    in_turn: bool = False  # one client trains in a step
    own_ends: bool = False  # head and tail are never exchanged: one adapter a party comes out
    own_body: bool = False  # the server half keeps a body adapter for each party

    @property
    def alike(self) -> bool:
        """Whether every party holds the same model whenever it is evaluated."""
        return not (self.own_ends or self.own_body or self.average_every)

    @property
    def ends_cross(self) -> bool:
        """Whether gradients or weights of head and tail go to the server half during the run."""
        return self.gradients or self.relays or self.average_every > 0


def exchange_of(schedule: ScheduleSection, clients: int) -> Exchange:
    """What `schedule` means for so many data parties."""
    if clients < 2:
        return Exchange()
    every = schedule.aggregate_every
    match schedule.mode:
        case "sequential":
            return Exchange(in_turn=True, relays=schedule.relay, own_ends=not schedule.relay)
        case "splitfed_v1":
            return Exchange(average_every=every, own_body=True)
        case "personalised":
            return Exchange(own_ends=True)
        case _:
            return Exchange(gradients=every == 1, average_every=every if every > 1 else 0, own_ends=every == 0)


def whose_turn(schedule: ScheduleSection, clients: int, step: int) -> int:
    """Place in the contract's order of the client that trains in step `step` (from 0) of a sequential run."""
    return step // schedule.turn_steps % clients


def own_steps(schedule: ScheduleSection, clients: int, place: int, step: int) -> int:
    """Steps that the client at `place` has trained in before step `step`: what its sampler counts."""
    if not exchange_of(schedule, clients).in_turn:
        return step
    rounds, rest = divmod(step, schedule.turn_steps * clients)
    return rounds * schedule.turn_steps + min(max(rest - place * schedule.turn_steps, 0), schedule.turn_steps)


def total_steps(config: RunConfig, rows: Sequence[int], batch_sizes: Sequence[int]) -> int:
    """Optimiser steps of a run: as given, or as many as the largest dataset needs for the epochs.

    In a sequential run that many steps are every client's own, rounded up to whole turns.
    """
    training, schedule = config.training, config.schedule
    if training.steps is not None:
        return training.steps
    epochs = training.epochs or 1.0
    most = max(1, max(ceil(epochs * count / size) for count, size in zip(rows, batch_sizes, strict=True)))
    if not exchange_of(schedule, len(rows)).in_turn:
        return most
    return ceil(most / schedule.turn_steps) * schedule.turn_steps * len(rows)


def evaluates_at(config: RunConfig, step: int, total: int) -> bool:
    """Whether held-out rows are measured after `step` completed steps: at the start, when due, and at the end."""
    every = config.training.eval_every
    return step in (0, total) or (every > 0 and step % every == 0)
