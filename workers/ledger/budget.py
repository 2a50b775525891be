"""The site's budget for what may leave in a run: one figure in the ledger's book for frames, records and files.

Whoever sends takes the bytes from it first, so that several halves at once and a killed one never spend them twice.
"""

from __future__ import annotations

import sqlite3

from splitcore.errors import AppError
from workers.ledger.book import Book, BudgetError
from workers.policy import SitePolicy
from workers.settings import WorkerHome

CODE = "CL-1429"
# Small, bounded and needed to end a run well: taken from the budget, but never refused.
ALWAYS = frozenset({"claim", "verdict", "ready", "exit"})


class WithheldError(AppError):
    """Nothing was sent: the site's budget is spent (`CODE`), or policy or ledger cannot be used now."""


def budget_of(home: WorkerHome) -> int | None:
    """Bytes that may leave in a run; None: any number. Raises AppError where the policy cannot be read."""
    return SitePolicy.load(home.policy_file).egress_bytes_per_run


class RequestBudget:
    """Takes the bytes of a request to the hub from its run's budget before it is sent."""

    def __init__(self, home: WorkerHome, book: Book) -> None:
        self._home, self._book = home, book

    def take(self, run_id: str, kind: str, nbytes: int) -> None:
        """Raises WithheldError where the request may not leave, with the code of what forbids it."""
        if not run_id:
            return
        always = kind in ALWAYS
        try:
            budget = budget_of(self._home)
            if budget is not None:
                take(self._book, run_id, nbytes, None if always else budget)
        except AppError as error:
            if not always:  # neither a broken policy nor a full disk keeps a run from ending
                raise WithheldError(error.code, error.message, error.remedy, details=error.details) from None


def take(book: Book, run_id: str, nbytes: int, budget: int | None, *, more: int = 0) -> int:
    """See `Book.reserve`. Raises AppError CL-1429; where the book cannot be written nothing leaves."""
    try:
        return book.reserve(run_id, nbytes, budget, more=more)
    except BudgetError as error:
        raise beyond(error.budget, error.spent, error.nbytes) from None
    except (OSError, sqlite3.Error) as error:
        raise AppError("CL-1820", f"The ledger can't be written ({type(error).__name__}), so nothing leaves.") from None


def check_budget(home: WorkerHome, run_id: str, nbytes: int) -> None:
    """Whether so many bytes more could leave in a run now; nothing is taken. Raises AppError CL-1429."""
    budget = budget_of(home)
    if budget is not None and (spent := Book(home.ledger_file).spent(run_id)) + nbytes > budget:
        raise beyond(budget, spent, nbytes)


def beyond(budget: int, spent: int, nbytes: int) -> AppError:
    """The refusal of a message that would go beyond the budget."""
    return AppError(
        CODE,
        f"This site allows {budget:,} bytes to leave per run. {spent:,} have left, and the next message has "
        f"{nbytes:,}.",
        details={"budget": budget, "spent": spent, "message": nbytes},
    )
