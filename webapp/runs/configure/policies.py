"""Where a configuration meets a site's policy, as its worker told it; the worker itself has the last word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from splitcore.config import RunConfig, decided
from splitcore.errors import AppError
from splitcore.planning import ModelShape
from splitcore.policy import REFUSED, Demand, Subject, conflicts, demands, role_breaches, strictest
from webapp.fleet.models import Worker
from webapp.runs.estimate import largest_message
from webapp.runs.models import ParticipantRole

_OF_A_PARTY = frozenset({"min_head_layers", "min_tail_layers"})  # rules on what a party may override


@dataclass(frozen=True)
class PolicyConflict:
    """A field that a site would refuse, its limit in words, and the value that mends it with the least change."""

    path: str
    message: str
    mend: str = ""
    code: str = ""  # under which the site's worker refuses it


@dataclass(frozen=True)
class Site:
    """A chosen worker with its part in the run."""

    worker: Worker
    role: str
    party: str = ""  # the data party's name in the run

    @property
    def name(self) -> str:
        """The worker with its organisation."""
        return f"{self.worker.name} of {self.worker.organisation.name}"


class Model(Protocol):
    """What is asked of the base model of that name, as the sites have registered it."""

    @property
    def manifest(self) -> str:
        """Hash of its weights; empty where the sites' differ."""

    @property
    def shape(self) -> ModelShape | None:
        """Its measured layout, where it is known."""

    @property
    def config(self) -> dict[str, Any]:
        """Its config.json."""


def policy_conflicts(config: RunConfig, sites: Iterable[Site], model: Model | None = None) -> list[PolicyConflict]:
    """Everything in the configuration that a chosen site is known to refuse; per field the strictest site's demand."""
    chosen = list(sites)
    config = decided(config, [site.worker.organisation_id for site in chosen if site.role == ParticipantRole.CLIENT])
    manifest, largest = (model.manifest, _largest(config, model, chosen)) if model is not None else ("", 0)
    host = next((_host(site.worker) for site in chosen if site.role == ParticipantRole.SERVER), "")
    found: dict[str, tuple[Demand, PolicyConflict]] = {}
    for mine, asked in _views(config, chosen):
        run = Subject.of(mine, manifest=manifest, message_bytes=largest, host=host)
        for demand in strictest(asked):
            for conflict in conflicts([demand], run):
                known = found.get(conflict.field)
                if known is None or _is_stricter(demand, known[0]):
                    message = f"Site policy of {' and '.join(conflict.by)}: {conflict.sentence}"
                    kept = PolicyConflict(conflict.field, message, conflict.mend, conflict.code)
                    found[conflict.field] = demand, kept
    at_every_site = [PolicyConflict(one.field, one.sentence, one.mend, REFUSED) for one in role_breaches(config)]
    return [*at_every_site, *(kept for _, kept in found.values())]


def _is_stricter(demand: Demand, known: Demand) -> bool:
    """Whether a demand on the same field leaves less than the known one, which a mend has to meet too."""
    return strictest([[known], [demand]])[0].value != known.value


def _views(config: RunConfig, sites: Iterable[Site]) -> list[tuple[RunConfig, list[list[Demand]]]]:
    """The configuration as the sites see it, with the demands that it has to meet there.

    A party's override makes a view of its own only where a rule can tell, and what no override changes has to meet the
    demands of every site in every view.
    """
    views: list[tuple[RunConfig, list[list[Demand]]]] = []
    shared: list[list[Demand]] = []
    for site in sites:
        mine = config.for_party(site.party)
        has_data, trains = site.role != ParticipantRole.SERVER, site.role != ParticipantRole.EVALUATOR
        asked = demands(site.worker.policy or {}, by=site.name, has_data=has_data, trains=trains)
        shared.append([demand for demand in asked if demand.rule not in _OF_A_PARTY])
        own = [demand for demand in asked if demand.rule in _OF_A_PARTY]
        known = next((policies for view, policies in views if view.split == mine.split), None)
        if known is None:
            views.append((mine, [own]))
        else:
            known.append(own)
    return [(view, [*own, *shared]) for view, own in views]


def _largest(config: RunConfig, model: Model, sites: Iterable[Site]) -> int:
    """Bytes of the largest message that the contract would allow; 0 where there would be none."""
    clients = sum(site.role == ParticipantRole.CLIENT for site in sites)
    try:
        return largest_message(config, model.shape, model.config, clients)
    except AppError:
        return 0


def _host(worker: Worker) -> str:
    """Where tensors go to; empty where the worker has not told it yet."""
    return str((worker.facts or {}).get("tensor_host") or "")


def format_clash(formats: Mapping[str, str]) -> dict[str, str]:
    """The datasets (key → format) that do not have the most common format, each with a sentence; CL-1004 in words."""
    kinds = list(formats.values())
    if len(set(kinds)) < 2:
        return {}
    common = max(dict.fromkeys(kinds), key=kinds.count)
    return {
        key: f"This dataset has the format {kind}, but the others have {common}. Choose one of the same format, or"
        f" register it again with a different column mapping (CL-1004)."
        for key, kind in formats.items()
        if kind != common
    }
