"""The end of the hub's audit chain, and what a worker found of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from splitcore.bounds import Count, Short
from workers.contracts.base import HubMessage, Message


class ChainHead(HubMessage):
    """Where the hub's audit chain ends: every worker keeps the highest that it was told (workers/witness.py)."""

    epoch: Short = ""  # another one after each restore of the hub from a backup
    sequence: Count = 0
    head: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""  # the entry's hash


class ChainLoss(Message):
    """The hub's audit chain does not go on from where it was: the end that a worker kept, and the one shown since."""

    kind: Literal["restored", "lost", "rewritten", "hidden"]  # hidden: the hub shows no end at all any more
    kept: ChainHead
    shown: ChainHead


class WitnessReport(Message):
    """`POST witness`: what a worker found of the chain. None: the site's people accept the chain as it is now."""

    loss: ChainLoss | None = None
