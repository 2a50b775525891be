"""The site's budget for what may leave in a run: one sentence for tensors on their way and files at the end."""

from __future__ import annotations

from splitcore.errors import AppError
from workers.ledger.book import Book
from workers.policy import SitePolicy
from workers.settings import WorkerHome


def check_budget(home: WorkerHome, run_id: str, nbytes: int) -> None:
    """Whether so many bytes more may leave in a run. Raises AppError CL-1429."""
    budget = SitePolicy.load(home.policy_file).egress_bytes_per_run
    if budget is not None and (spent := Book(home.ledger_file).bytes_of(run_id)) + nbytes > budget:
        raise beyond(budget, spent, nbytes)


def beyond(budget: int, spent: int, nbytes: int) -> AppError:
    """The refusal of a message that would go beyond the budget."""
    return AppError(
        "CL-1429",
        f"This site lets {budget:,} bytes leave in a run; {spent:,} have left, and the next message has {nbytes:,}.",
        details={"budget": budget, "spent": spent, "message": nbytes},
    )
