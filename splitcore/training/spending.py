"""What a data party's half tells its accountant: what the run is going to release of which row, and each release."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from splitcore.boundary.charging import Releases
from splitcore.boundary.release import Plan, Reach
from splitcore.config.spending import reach_of, release_of
from splitcore.privacy.composition import UNBOUNDED
from splitcore.run.plan import RunPlan
from splitcore.training.party_rows import PartyRows


def releases_of(plan: RunPlan, party: str, rows: PartyRows) -> Releases | None:
    """What charges the rows; None without an accountant, and where there is no bound, which is noted once."""
    accountant, config = plan.settings.accountant, plan.settings.config.for_party(party)
    law, reach = release_of(config, 1), reach_of(config, len(plan.settings.parties))
    if accountant is None or law is None or reach is Reach.OTHERS:
        return None

    def squared(tokens: int) -> float:
        release = release_of(config, tokens)
        return release.squared if release is not None else UNBOUNDED

    return Releases(accountant, squared, rows.numbers, reach)


def begin_accounting(plan: RunPlan, party: str, rows: PartyRows, steps: range, *, prompts: Sequence[int] = ()) -> None:
    """Tell the accountant, if there is one, what all of the run's steps release. Raises AppError CL-1570, CL-1820.

    `prompts`: tokens of each release of public prompts that an evaluation makes at most.
    """
    if plan.settings.accountant is not None:
        plan.settings.accountant.begin(planned(plan, party, rows, steps, prompts=prompts))


def planned(plan: RunPlan, party: str, rows: PartyRows, steps: range, *, prompts: Sequence[int] = ()) -> Plan:
    """How often each row will be sent. A head that nothing trains makes one release of a row, however often it is."""
    config = plan.settings.config.for_party(party)
    law, reach = release_of(config, 1), reach_of(config, len(plan.settings.parties))
    if law is None or reach is Reach.OTHERS:
        everything = dict.fromkeys(rows.numbers, (1, UNBOUNDED))
        return Plan(law.mechanism if law is not None else "", reach, everything)
    times = Counter(index for step in steps for index in rows.indices(step))
    evaluations = sum(plan.evaluates_at(step, steps.stop) for step in range(steps.start, steps.stop + 1))
    sendings: dict[int, tuple[int, float]] = {}
    for index, row in enumerate(rows):
        count = times[index] if index < rows.trained else evaluations
        release = release_of(config, len(row.ids))
        if count and release is not None:
            sendings[rows.numbers[index]] = (1 if reach is Reach.OWN else count, release.squared)
    if reach is Reach.OWN:  # what leaves of a prompt tells of no row
        return Plan(law.mechanism, reach, sendings)
    squares = (release.squared for tokens in prompts if (release := release_of(config, tokens)) is not None)
    return Plan(law.mechanism, reach, sendings, prompts=evaluations * math.fsum(squares))
