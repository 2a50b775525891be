"""The hub's clock, as this worker has last heard it: its requests, records and tickets go by that, not by its own."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from pathlib import Path

from processes.private_files import replace_private

_KEPT_CHANGE = 0.5  # seconds: a smaller one is the network's


class HubClock:
    """By how many seconds the hub's clock is ahead of this machine's; in a file, for the worker's other processes."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.offset = self._kept = 0.0
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                self.offset = self._kept = float(path.read_text())

    def now(self) -> float:
        """Seconds since the epoch, by the hub's clock."""
        return time.time() + self.offset

    def follow(self, hub_time: datetime) -> None:
        """Set the clock by the hub's. Where the file cannot be written now, the next answer brings another chance."""
        self.offset = hub_time.timestamp() - time.time()
        if self._path is None or abs(self.offset - self._kept) < _KEPT_CHANGE:
            return
        with contextlib.suppress(OSError):
            replace_private(self._path, f"{self.offset:.3f}".encode())
            self._kept = self.offset
