"""What a worker tells of its privacy ledger: an ε for each dataset, never of one row. For its organisation alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from splitcore.bounds import Short
from splitcore.privacy.composition import LEAST
from splitcore.privacy.words import Spending, spending
from workers.contracts.base import DatasetName, Message

EPSILON_MAX = 1e12  # what is larger is told as "no bound"
SPENT_SINCE = 8  # the version of the protocol in which a hello came to tell it
RUNS_TOLD_MAX = 20
Epsilon = Annotated[float, Field(ge=0, le=EPSILON_MAX, allow_inf_nan=False)]
Limit = Annotated[float, Field(ge=LEAST, le=EPSILON_MAX, allow_inf_nan=False)]
Delta = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class RunShare(Message):
    """What one run has taken of a dataset's worst row. None: without a bound."""

    run_id: Short
    epsilon: Epsilon | None
    mechanism: Short = ""  # the defence; "" for none


class DatasetSpent(Message):
    """The ε of the row that has spent most, for replacing one row by another of the same length. None: no bound.

    A hub is told a coarse one (see `splitcore.privacy.composition.coarse`).
    """

    name: DatasetName
    epsilon: Epsilon | None
    delta: Delta
    budget: Limit | None = None  # the site's limit; None: none
    runs: list[RunShare] = Field(default_factory=list, max_length=RUNS_TOLD_MAX)  # the latest first

    def in_words(self) -> Spending:
        """For a page of the hub or the console."""
        runs = [(one.run_id, one.epsilon, one.mechanism) for one in self.runs]
        return spending(self.epsilon, self.delta, self.budget, runs)


class BudgetTold(Message):
    """The privacy budget of a site's policy."""

    epsilon: Limit
    delta: Delta
