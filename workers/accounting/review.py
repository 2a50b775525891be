"""Whether a contract fits into the site's privacy budget, as far as that can be told before the run starts."""

from __future__ import annotations

from collections.abc import Iterator

from splitcore.boundary.release import Reach
from splitcore.config import RunConfig
from splitcore.config.spending import reach_of, release_of
from splitcore.privacy.composition import Budget, epsilon_from, in_words
from workers.contracts import ContractDocument, ContractParticipant, Role


def budget_breaches(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, budget: Budget | None, spent: float
) -> Iterator[tuple[str, str]]:
    """Field and sentence. `spent`: the square of the dataset's row that has spent most, in all runs but this one.

    The half's own process compares the exact plan, with each row's length and past, before anything leaves.
    """
    if budget is None or own.role is not Role.CLIENT:
        return
    clients = sum(part.role is Role.CLIENT for part in contract.participants)
    if reach_of(config, clients) is Reach.OTHERS:
        yield (
            "lora.train_head",
            "This site has a privacy budget. A trained head that organisations share carries what it learns of a row "
            "into their releases, which this site can't count: there is no bound. Don't train the head, or choose a "
            "schedule in which each organisation keeps its own.",
        )
    release = release_of(config.for_party(own.party), 1)
    if release is not None and spent and spent + release.squared > budget.squared:
        so_far = in_words(epsilon_from(spent, budget.delta))
        has = "was released without a bound" if so_far == "no bound" else f"has spent ε = {so_far}"
        yield (
            "participants.dataset",
            f"A row of this dataset {has}. One more release would exceed this site's privacy budget of "
            f"{budget.epsilon:g} (δ = {budget.delta:g}).",
        )
