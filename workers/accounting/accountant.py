"""The accountant of a job: charges its party's rows in the site's privacy ledger, within the site's budget."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from splitcore.boundary.release import Plan, Sending
from splitcore.errors import AppError
from splitcore.privacy.composition import Budget, epsilon_from, in_words
from workers.accounting.book import NO_ROW, Charge, OverBudgetError, SpendingBook
from workers.accounting.ledger import ledger_of
from workers.accounting.rows import row_digests
from workers.data.store import DatasetStore
from workers.policy import SitePolicy
from workers.settings import WorkerHome

Rows = Sequence[Mapping[str, Any]]


class JobAccountant:
    """See `splitcore.boundary.release.Accountant`. A row's number: those to train on come first, then held-out ones."""

    def __init__(
        self,
        book: SpendingBook,
        *,
        run_id: str,
        party: str,
        digests: Sequence[bytes],
        trained: int,
        budget: Callable[[], Budget | None],
    ) -> None:
        """`digests`: of all rows, of which the first `trained` are trained on. `budget`: the site's, as it is now."""
        self._book, self._run_id, self._party = book, run_id, party
        self._digests, self._trained, self._budget = digests, trained, budget

    @classmethod
    def of(cls, home: WorkerHome, *, run_id: str, party: str, train: Rows, held_out: Rows) -> JobAccountant:
        """For rows of this site. Raises AppError CL-1232, CL-1571, CL-1820."""
        digests = row_digests(DatasetStore(home.root).key, [*train, *held_out])
        try:
            book = ledger_of(home)
        except (OSError, sqlite3.Error) as error:
            raise unwritable(error) from None
        return cls(
            book,
            run_id=run_id,
            party=party,
            digests=digests,
            trained=len(train),
            budget=BudgetFile(home),
        )

    def begin(self, plan: Plan) -> None:
        """See `Accountant.begin`."""
        with self._guarded() as most:
            entry = self._book.enter(
                self._run_id, self._party, mechanism=plan.mechanism, reach=plan.reach, rows=self._digests
            )
            self._run, self._rows = entry.run, entry.rows
            sums: dict[int, tuple[bool, float]] = {}
            for number, (times, squared) in plan.sendings.items():  # equal rows add up
                is_trained, before = sums.get(self._rows[number], (False, 0.0))
                sums[self._rows[number]] = (is_trained or number < self._trained, before + times * squared)
            if any(math.isinf(squared) for _, squared in sums.values()):
                self._book.unbound(self._run, sums, most)
            else:
                self._book.check(self._run, plan.reach, sums, most, prompts=plan.prompts)

    def charge(self, sendings: Sequence[Sending]) -> None:
        """See `Accountant.charge`."""
        trained, rows = self._trained, self._rows
        charges = [
            Charge(NO_ROW, False, one.squared, one.digest)
            if one.row is None
            else Charge(rows[one.row], one.row < trained, one.squared, one.digest)
            for one in sendings
        ]
        with self._guarded() as most:
            self._book.charge(self._run, charges, most)

    @contextmanager
    def _guarded(self) -> Iterator[float | None]:
        """The largest sum of squares; whatever the book refuses has a code."""
        budget = self._budget()
        try:
            yield budget.squared if budget is not None else None
        except OverBudgetError as error:
            assert budget is not None
            raise over_budget(error.squared, budget) from None
        except (OSError, sqlite3.Error) as error:
            raise unwritable(error) from None


class BudgetFile:
    """The site's budget, read again when its policy file changes. One that can't be read by then changes nothing."""

    def __init__(self, home: WorkerHome) -> None:
        self._path = home.policy_file
        self._seen: tuple[int, int] | None = None
        self._budget: Budget | None = None

    def __call__(self) -> Budget | None:
        """As it is now. Raises AppError CL-1422 at the first call."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size)
        except OSError:
            seen = (0, 0)
        if seen != self._seen:
            try:
                self._budget = SitePolicy.load(self._path).budget
            except AppError:
                if self._seen is None:
                    raise
            self._seen = seen
        return self._budget


def unwritable(error: Exception) -> AppError:
    """Nothing leaves that can't be charged."""
    return AppError("CL-1820", f"The privacy ledger can't be written ({type(error).__name__}), so nothing leaves.")


def over_budget(squared: float, budget: Budget) -> AppError:
    """The refusal of releases that would take a row so far."""
    epsilon = in_words(epsilon_from(squared, budget.delta))
    would = "has no bound" if epsilon == "no bound" else f"would be {epsilon}"
    return AppError(
        "CL-1570",
        f"The ε of a row {would}, but this site's budget is {budget.epsilon:g} (δ = {budget.delta:g}).",
        details={"epsilon": epsilon, "budget": budget.epsilon, "delta": budget.delta},
    )
