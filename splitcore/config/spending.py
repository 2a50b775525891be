"""What a run's configuration says of its releases: their law, and whose releases a row reaches. Torch-free."""

from __future__ import annotations

from splitcore.boundary.release import Reach, Release
from splitcore.config.run import RunConfig
from splitcore.privacy.calibration import DELTA
from splitcore.privacy.composition import UNBOUNDED, epsilon_from, in_words


def release_of(config: RunConfig, tokens: int) -> Release | None:
    """The law of what leaves of a row of so many tokens; None where nothing bounds it.

    The last defence that changes hidden states decides. One that follows noise may know more of the row than what is
    noised, such as its token ids.
    """
    acting = [strategy for strategy in config.privacy.defences if strategy.changes_states]
    return acting[-1].release(tokens) if acting else None


def reach_of(config: RunConfig, parties: int) -> Reach:
    """Whose releases a row reaches, among so many data parties that train."""
    if not config.lora.train_head:
        return Reach.OWN
    exchange = config.schedule.exchange(parties)
    return Reach.RUN if parties == 1 or exchange.own_ends else Reach.OTHERS


def spending_words(config: RunConfig, parties: int) -> str:
    """What the hidden states of one row will have spent after the run, as a sentence."""
    longest, reach = config.training.max_length, reach_of(config, parties)
    release = release_of(config, longest)
    if release is None:
        return "no bound, without noise of a known law."
    if reach is Reach.OTHERS:
        return "no bound, since organisations share a trained head. Don't train it, or let each keep its own."
    if release.squared == UNBOUNDED:
        return "no bound, with next to no noise."
    epsilon = f"{in_words(epsilon_from(release.squared))} at δ = {DELTA:g}, if it has {longest:,} tokens"
    if reach is Reach.OWN:
        return f"{epsilon}. It is released once, however often it is sent."
    return f"{epsilon}, for one release. The trained head adds up all releases of the run."
