"""What a run's configuration says of its releases: their law, and whose releases a row reaches. Torch-free."""

from __future__ import annotations

from splitcore.boundary.release import Reach, Release
from splitcore.config.run import RunConfig


def release_of(config: RunConfig, tokens: int) -> Release | None:
    """The law of what leaves of a row of so many tokens; None where no defence has one.

    The first defence that adds noise decides: whatever follows computes on what is noised already.
    """
    laws = (strategy.release(tokens) for strategy in config.cut_strategies)
    return next((law for law in laws if law is not None), None)


def reach_of(config: RunConfig, parties: int) -> Reach:
    """Whose releases a row reaches, among so many data parties that train."""
    if not config.lora.train_head:
        return Reach.OWN
    exchange = config.schedule.exchange(parties)
    return Reach.RUN if parties == 1 or exchange.own_ends else Reach.OTHERS
