"""The hub's clock, as this worker has last heard it: its requests, records and tickets go by that, not by its own."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from pathlib import Path

from processes.private_files import replace_private

JITTER = 1.0  # seconds: a smaller difference would only mix up the order of records


class HubClock:
    """By how many seconds the hub's clock is ahead of this machine's; in a file, for the worker's other processes."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.offset = 0.0
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                self.offset = float(path.read_text())

    def now(self) -> float:
        """Seconds since the epoch, by the hub's clock."""
        return time.time() + self.offset

    def follow(self, hub_time: datetime, *, asked_at: float | None = None) -> None:
        """Set the clock by the hub's, which said this between `asked_at` (by this machine's clock) and now.

        An answer that took half a minute says little: what it allows for stays as it is.
        """
        now = time.time()
        least, most = hub_time.timestamp() - now, hub_time.timestamp() - (now if asked_at is None else asked_at)
        if least - JITTER < self.offset < most + JITTER:
            return
        self.offset = (least + most) / 2
        if self._path is not None:
            with contextlib.suppress(OSError):  # a full disk: tickets go by the older figure for a while
                replace_private(self._path, f"{self.offset:.3f}".encode())
