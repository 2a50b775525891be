"""What the hub is told of the privacy ledger: looked up again when something has changed, and not at every beat."""

from __future__ import annotations

import time
from collections.abc import Hashable
from pathlib import Path

from workers.accounting.summary import spending_of_all
from workers.contracts import HELD_MAX, DatasetSpent
from workers.data.store import DatasetStore
from workers.policy import SitePolicy
from workers.settings import WorkerHome

LOOK_SECONDS = 5.0  # a run charges its rows several times a second


class SpendingTold:
    """The latest answer, for the agent's hello."""

    def __init__(self, home: WorkerHome) -> None:
        self._home = home
        self._at = -LOOK_SECONDS
        self._seen: Hashable = None
        self._told: list[DatasetSpent] | None = None

    def told(self) -> list[DatasetSpent] | None:
        """One entry for each dataset; None where there are too many. Raises AppError CL-1422 of the policy."""
        if time.monotonic() - self._at < LOOK_SECONDS:
            return self._told
        budget = SitePolicy.load(self._home.policy_file).budget
        held = tuple((one.name, one.version, one.digest) for one in DatasetStore(self._home.root).held())
        file = self._home.privacy_file
        seen = (budget, held, _state(file), _state(file.with_name(f"{file.name}-wal")))
        if seen != self._seen:
            found = [spending.told() for spending in spending_of_all(self._home, budget)]
            self._seen, self._told = seen, found if len(found) <= HELD_MAX else None
        self._at = time.monotonic()
        return self._told


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
