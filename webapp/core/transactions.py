"""What makes a function a service: one transaction, locks in one order, audited last, tried again after a deadlock.

The order in which rows are locked (docs/architecture.md): run, participants, adapters; worker; organisation, project,
participation, invitation, person, token, dataset; the audit chain last. Everybody who writes waits for the chain, so
nobody may wait for anything else while holding it: what a service wants done `at_the_end` is done when its outermost
one ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)
_LOST_RACES = ("40P01", "40001")  # PostgreSQL: deadlock detected, could not serialise: the other one went on
_TRIES = 2


class _Open(threading.local):
    """The services that are open in this thread, and what is to be done at the end of the outermost one."""

    depth = 0

    def __init__(self) -> None:
        self.last: list[Callable[[], None]] = []


_open = _Open()


def service(function: Callable[P, R]) -> Callable[P, R]:
    """Run a write as one transaction; within another service as a part of it, which is undone by itself if it fails."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        if _open.depth or connection.in_atomic_block:
            return _part(function, *args, **kwargs)
        for _ in range(_TRIES - 1):
            try:
                return _part(function, *args, **kwargs)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) not in _LOST_RACES:
                    raise
                log.warning("%s lost a race for its locks; trying once more", function.__qualname__)
        return _part(function, *args, **kwargs)

    inner.is_service = True  # type: ignore[attr-defined]
    return inner


def at_the_end(act: Callable[[], None]) -> None:
    """Do something in the transaction of the outermost open service, after all else; at once where none is open."""
    if _open.depth:
        _open.last.append(act)
    else:
        with transaction.atomic():
            act()


def _part(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    before = len(_open.last)
    _open.depth += 1
    try:
        with transaction.atomic():
            result = function(*args, **kwargs)
            if _open.depth == 1:
                for act in _open.last:
                    act()
        return result
    except BaseException:
        del _open.last[before:]
        raise
    finally:
        _open.depth -= 1
        if not _open.depth:
            _open.last.clear()
