"""Two acts at the same moment, over and over: what each of them answered, and that neither broke."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from django.db import connection

from splitcore.errors import AppError

ROUNDS = 50
Act = Callable[[], Any]


class Track:
    """Runs acts side by side. A thread keeps its database connection from one round to the next."""

    def __init__(self, lanes: int = 2) -> None:
        self._pool = ThreadPoolExecutor(lanes)
        self._barrier = threading.Barrier(lanes)
        self._lanes = lanes

    def __enter__(self) -> Track:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        list(self._pool.map(lambda _: self._leave(), range(self._lanes)))
        self._pool.shutdown()

    def race(self, *acts: Act) -> list[Any]:
        """What each act returned, or the AppError that it met. Anything else, a deadlock first of all, is raised."""
        return list(self._pool.map(self._run, acts))

    def _run(self, act: Act) -> Any:
        self._barrier.wait(30)
        try:
            return act()
        except AppError as error:
            return error

    def _leave(self) -> None:
        self._barrier.wait(30)
        connection.close()
