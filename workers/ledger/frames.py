"""The frames of one job, counted where they enter TLS, and the site's budget for what may leave in a run.

Counting is a few additions and one SHA-256 of a header for each frame; a thread writes them into the book now and then.
A process that is killed loses what it counted since then, at most `TELL_SECONDS` of it, and its entry stays open.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from splitcore.errors import AppError
from splitcore.wire.protocol.exchange import CONTROL
from splitcore.wire.protocol.outgoing import AGAIN
from workers.ledger.book import Book, Line, Writer, chained, now_text
from workers.ledger.budget import take

log = logging.getLogger(__name__)
TELL_SECONDS = 1.0
SHARE = 100  # a half takes a hundredth of the budget at a time
SAMPLED_EVERY = 64  # frames of a kind from one whose content is hashed to the next


class FrameLedger:
    """What leaves in one attempt of a job, to all receivers. Thread-safe; `with` writes the last of it."""

    def __init__(
        self,
        book: Book,
        *,
        run_id: str,
        job_id: str,
        attempt: int,
        budget: int | None = None,
        budget_now: Callable[[], int | None] | None = None,
        full: bool = False,
    ) -> None:
        """`budget`: bytes that may leave in the run, earlier attempts included. `full`: hash all content.

        budget_now: the same as the site's policy has it later; an AppError of it changes nothing.
        """
        self._budget_now = budget_now
        self._book, self._run_id, self._job_id, self._attempt = book, run_id, job_id, attempt
        self._budget, self._every = budget, 1 if full else SAMPLED_EVERY
        self._lines: dict[tuple[str, str], _Tally] = {}
        self._lock, self._ending = Lock(), Event()
        # Of the budget, taken and not used yet; below zero: for frames beside the messages, and to be taken still.
        self._taken = 0
        self._thread = Thread(target=self._tell_now_and_then, name="ledger", daemon=True)

    def __enter__(self) -> Self:
        self.tell()  # from now on the book says that this attempt counts
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self.tell(ended=True)

    def account(self, receiver: str) -> Account:
        """The account of one conversation."""
        return Account(self, receiver)

    def admit(self, nbytes: int) -> None:
        """A message of so many bytes is about to be queued. Raises AppError CL-1429 beyond the budget."""
        with self._lock:
            self._take(nbytes)

    def leaves(self, receiver: str, label: str, frame: bytes, header_bytes: int) -> None:
        """A frame goes to the transport. Raises AppError CL-1429 for one sent again that goes beyond the budget."""
        with self._lock:
            if label == AGAIN:
                self._take(len(frame))
            elif label == CONTROL and self._budget is not None:
                self._taken -= len(frame)  # bears nothing, and ends a conversation well
            tally = self._lines.get((receiver, label))
            if tally is None:
                tally = self._lines[receiver, label] = self._opened(receiver, label)
            tally.count(frame, header_bytes, self._every)

    def _take(self, nbytes: int) -> None:
        """Use bytes of the run's budget, and take more of it from the book where this process has too few left."""
        if self._budget is None:
            return
        if nbytes > self._taken:
            missing, more = nbytes - self._taken, self._budget // SHARE
            self._taken += take(self._book, self._run_id, missing, self._budget, more=more)
        self._taken -= nbytes

    def _settle(self, *, ended: bool) -> None:
        """Take what frames beside the messages have used; at the end give back what was not used."""
        with self._lock:
            if self._taken < 0:
                self._taken += self._book.reserve(self._run_id, -self._taken, None)
            elif ended and self._taken:
                self._book.give_back(self._run_id, self._taken)
                self._taken = 0

    def _renew_budget(self) -> None:
        """Keep to the figure that the site's people may have written meanwhile."""
        if self._budget_now is None:
            return
        with suppress(AppError):
            budget = self._budget_now()
            with self._lock:
                self._budget = budget

    def tell(self, *, ended: bool = False) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            told = [(tally, tally.untold()) for tally in self._lines.values()]
        writer = Writer(self._job_id, self._attempt, self._run_id, os.getpid(), now_text(), ended)
        try:
            self._book.advance([line for _, line in told if line.count], writer)
            with self._lock:  # whatever fails after this, the book has them
                for tally, line in told:
                    tally.was_told(line)
            self._settle(ended=ended)
        except (OSError, sqlite3.Error) as error:
            log.error("the ledger could not be written: %s", type(error).__name__)

    def _opened(self, receiver: str, label: str) -> _Tally:
        """A new tally, which goes on with the hashes that the book has of an earlier attempt."""
        known = [one for one in self._book.lines(self._run_id) if (one.receiver, one.kind) == (receiver, label)]
        return _Tally(known[0] if known else Line(self._run_id, receiver, label))

    def _tell_now_and_then(self) -> None:
        while not self._ending.wait(TELL_SECONDS):
            self.tell()
            self._renew_budget()


class Account:
    """One conversation's `Egress`."""

    def __init__(self, ledger: FrameLedger, receiver: str) -> None:
        self._ledger, self._receiver = ledger, receiver

    def admit(self, nbytes: int) -> None:
        """See `Egress.admit`."""
        self._ledger.admit(nbytes)

    def leaves(self, label: str, frame: bytes, header_bytes: int) -> None:
        """See `Egress.leaves`."""
        self._ledger.leaves(self._receiver, label, frame, header_bytes)


class _Tally:
    """Frames of one label to one receiver: what the book has not been told yet, and the hashes as they are."""

    def __init__(self, known: Line) -> None:
        self._now = replace(known, count=0, nbytes=0, hashed=0)
        self._seen = 0

    def count(self, frame: bytes, header_bytes: int, every: int) -> None:
        """One frame more."""
        now = self._now
        now.digest = chained(now.digest, frame[:header_bytes])
        if self._seen % every == 0:
            now.content_digest = chained(now.content_digest, frame)
            now.hashed += 1
        self._seen, now.count, now.nbytes = self._seen + 1, now.count + 1, now.nbytes + len(frame)

    def untold(self) -> Line:
        """What the book is to be told."""
        return replace(self._now)

    def was_told(self, line: Line) -> None:
        """The book has it."""
        self._now.count -= line.count
        self._now.nbytes -= line.nbytes
        self._now.hashed -= line.hashed
