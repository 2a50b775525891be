"""What each dataset's rows have spent, for the console and the hub: the worst row of all versions of a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from splitcore.privacy.calibration import DELTA
from splitcore.privacy.composition import Budget, coarse, epsilon_from, rounded_up
from splitcore.privacy.words import Spending as Words
from workers.accounting.book import RunSpent, SpendingBook
from workers.accounting.ledger import ledger_of
from workers.accounting.rows import row_digests
from workers.contracts import EPSILON_MAX, DatasetSpent, RunShare
from workers.data.store import DatasetStore, StoredDataset
from workers.settings import WorkerHome

RUNS_TOLD = 10


@dataclass(frozen=True)
class Spending:
    """A dataset, by its name here."""

    name: str
    squared: float  # of the row that has spent most
    runs: list[RunSpent]  # that took something of its rows, also as another dataset's; the latest first
    budget: Budget | None

    @property
    def delta(self) -> float:
        """The δ at which ε is told: the budget's, if there is one."""
        return self.budget.delta if self.budget is not None else DELTA

    @property
    def limit(self) -> float | None:
        """The ε of the budget."""
        return self.budget.epsilon if self.budget is not None else None

    def epsilon(self, squared: float | None = None) -> float | None:
        """Of the worst row, or of a run's square: rounded up; None where there is no bound."""
        found = rounded_up(epsilon_from(self.squared if squared is None else squared, self.delta))
        return found if found <= EPSILON_MAX else None

    def told(self) -> DatasetSpent:
        """What the hub learns of it: coarse, since an exact ε tells how many tokens the longest row has."""
        return self._shown(self._coarse)

    def in_words(self) -> Words:
        """What the worker's own console shows, to three digits."""
        return self._shown(lambda epsilon: epsilon).in_words()

    def _coarse(self, epsilon: float) -> float:
        """Not beyond a budget that isn't exceeded."""
        return min(coarse(epsilon), self.limit) if self.limit is not None and epsilon <= self.limit else coarse(epsilon)

    def _shown(self, how: Callable[[float], float]) -> DatasetSpent:
        def of(squared: float) -> float | None:
            found = self.epsilon(squared)
            return found if found is None else min(how(found), EPSILON_MAX)

        return DatasetSpent(
            name=self.name,
            epsilon=of(self.squared),
            delta=self.delta,
            budget=self.limit,
            runs=[
                RunShare(run_id=one.run_id, epsilon=of(one.squared), mechanism=one.mechanism)
                for one in self.runs[:RUNS_TOLD]
            ],
        )


def spending_of_all(home: WorkerHome, budget: Budget | None) -> list[Spending]:
    """Each dataset whose rows are here, by name. Raises AppError CL-1232, CL-1571."""
    by_name: dict[str, list[StoredDataset]] = {}
    store = DatasetStore(home.root)
    for stored in store.versions():
        if stored.has_rows:
            by_name.setdefault(stored.metadata.name, []).append(stored)
    if not home.privacy_file.exists():  # nothing was ever released, and looking makes no file
        return [Spending(name, 0.0, [], budget) for name in by_name]
    book = ledger_of(home)
    found = []
    for name, versions in by_name.items():
        for stored in versions:
            _remember(book, store, stored)
        digests = [stored.metadata.digest for stored in versions]
        found.append(Spending(name, book.worst(digests), book.runs(digests), budget))
    return found


def spent_of(home: WorkerHome, digest: str, *, but: str) -> float:
    """The square of a version's row that has spent most, in all runs but one; nothing where its rows aren't here.

    Raises AppError CL-1232, CL-1571.
    """
    store = DatasetStore(home.root)
    stored = next((one for one in store.versions() if one.metadata.digest == digest and one.has_rows), None)
    if stored is None or not home.privacy_file.exists():
        return 0.0
    book = ledger_of(home)
    _remember(book, store, stored)
    return book.worst([digest], but=but)


def _remember(book: SpendingBook, store: DatasetStore, stored: StoredDataset) -> None:
    """A version never changes, so its rows are read once."""
    if not book.knows(stored.metadata.digest):
        rows = [*stored.train_rows(), *stored.heldout_rows()]
        book.remember(stored.metadata.digest, row_digests(store.key, rows))
