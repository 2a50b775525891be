"""Where a run meets the policies of its parties: the strictest demand of each rule, and what breaks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from splitcore.policy.rules import RULES, Breach, Subject


@dataclass(frozen=True)
class Demand:
    """What a rule asks, and who asks it."""

    rule: str
    value: Any
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conflict(Breach):
    """A demand that a run does not meet, with the code under which a worker refuses it."""

    code: str = ""
    by: tuple[str, ...] = ()


def demands(policy: Mapping[str, Any], *, by: str = "", has_data: bool = True, trains: bool = True) -> list[Demand]:
    """What a policy asks, as a `Policy` dumps it or as a worker of another version told it.

    What is not in it, no number and an empty list ask nothing.

    A compute party (`has_data` is false) has no say in what leaves the data parties. A party that only measures
    (`trains` is false) sends no hidden states.
    """
    names = (by,) if by else ()
    return [
        Demand(name, tuple(value) if isinstance(value, list) else value, names)
        for name, rule in RULES.items()
        if (value := policy.get(name)) and (has_data or not rule.of_data) and (trains or not rule.of_trainers)
    ]


def strictest(policies: Iterable[Iterable[Demand]]) -> list[Demand]:
    """What holds where all of these hold: of each number the strictest, of lists what all allow, or each by itself."""
    found: list[Demand] = []
    for demand in (demand for policy in policies for demand in policy):
        stricter = RULES[demand.rule].stricter
        place = next((i for i, known in enumerate(found) if _is_one(known, demand, merges=stricter is not None)), None)
        if place is None:
            found.append(demand)
        else:
            found[place] = _both(found[place], demand)
    return found


def _is_one(known: Demand, new: Demand, *, merges: bool) -> bool:
    return known.rule == new.rule and (merges or known.value == new.value)


def _both(known: Demand, new: Demand) -> Demand:
    """Named are those whose demand it is; where neither alone asks so much, both."""
    stricter = RULES[new.rule].stricter
    value = stricter(known.value, new.value) if stricter is not None else new.value
    askers = [one for one in (known, new) if one.value == value] or [known, new]
    return Demand(new.rule, value, tuple(dict.fromkeys(name for one in askers for name in one.by)))


def conflicts(asked: Iterable[Demand], run: Subject) -> Iterator[Conflict]:
    """Every demand that a run, as the asking parties take part in it, does not meet."""
    for demand in asked:
        rule = RULES[demand.rule]
        for breach in rule.breaches(demand.value, run):
            yield Conflict(breach.field, breach.sentence, breach.allowed, breach.mend, rule.code, demand.by)
