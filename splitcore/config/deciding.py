"""Defaults that depend on who takes part: decided when a run is submitted, and written out (torch-free)."""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.config.run import RunConfig


def decided(config: RunConfig, organisations: Sequence[str]) -> RunConfig:
    """The configuration for these data parties, by the organisation of each.

    What several organisations send of head and tail is masked, unless steps may go on without one of them.
    """
    several = len(set(organisations)) > 1 and config.schedule.exchange(len(organisations)).hides_ends
    if config.privacy.sums != "automatic" or not several or config.schedule.lateness()[0] == "continue":
        return config
    return config.model_copy(update={"privacy": config.privacy.model_copy(update={"sums": "masked"})})
