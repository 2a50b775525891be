"""Keep a set of processes running: start a dead one again, and give up where one cannot live."""

from __future__ import annotations

import logging
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping

from processes.children import end_child
from processes.redis_server import RedisNotStartedError

log = logging.getLogger(__name__)
Start = Callable[[], "subprocess.Popen[bytes]"]


class NeverStaysError(RuntimeError):
    """One of the processes ends again and again; the text is its name."""


class Supervisor:
    """Use it from one thread that lives as long as the processes may. They start in the order of `members`."""

    def __init__(self, members: Mapping[str, Start], *, most: int = 10, within: float = 60.0) -> None:
        self._members, self._most, self._within = members, most, within
        self._seen: set[str] = set()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._deaths: dict[str, deque[float]] = {name: deque(maxlen=most) for name in members}

    def look(self) -> None:
        """Start what is not running. Raises NeverStaysError after `most` ends of one process `within` seconds."""
        for name, start in self._members.items():
            child = self._children.get(name)
            if child is not None and child.poll() is None:
                continue
            if child is not None:
                log.warning("%s ended (%s); starting it again", name, child.returncode)
                del self._children[name]
                self._count(name)
            try:
                self._children[name] = start()
            except (OSError, RedisNotStartedError) as error:  # a full disk passes; the rest may go on meanwhile
                if name not in self._seen:
                    raise
                log.error("%s cannot be started now (%s)", name, type(error).__name__)
            else:
                self._seen.add(name)

    def end(self, *, grace: float) -> None:
        """End all, the last one first."""
        for child in reversed(self._children.values()):
            end_child(child, grace=grace)

    def _count(self, name: str) -> None:
        deaths = self._deaths[name]
        deaths.append(time.monotonic())
        if len(deaths) == self._most and deaths[-1] - deaths[0] < self._within:
            raise NeverStaysError(name)
