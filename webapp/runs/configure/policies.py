"""Where a configuration meets a site's policy, as its worker told it; the worker itself has the last word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from splitcore.config import RunConfig
from webapp.fleet.models import Worker
from webapp.runs.models import ParticipantRole


@dataclass(frozen=True)
class PolicyConflict:
    """A field that a site would refuse, its limit in words, and the value that mends it with the least change."""

    path: str
    message: str
    mend: str = ""


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


def policy_conflicts(config: RunConfig, sites: Iterable[Site], manifest: str = "") -> list[PolicyConflict]:
    """Everything in the configuration that a chosen site is known to refuse; per field the strictest site's."""
    chosen = list(sites)
    found: dict[str, PolicyConflict] = {}
    for site in chosen:
        policy = site.worker.policy or {}
        rules = [_model(config, site, policy, manifest), _steps(config, site, policy)]
        if site.role != ParticipantRole.SERVER:
            rules += [_topology(config, site, policy), _hosts(site, policy, chosen)]
        for conflict in (conflict for rule in rules for conflict in rule):
            known = found.get(conflict.path)
            if known is None or _stricter(conflict, known):
                found[conflict.path] = conflict
    return list(found.values())


def _stricter(new: PolicyConflict, old: PolicyConflict) -> bool:
    """Of two demands on one field: more layers, or fewer steps."""
    if not (new.mend.isdigit() and old.mend.isdigit()):
        return False
    return int(new.mend) < int(old.mend) if new.path == "training.steps" else int(new.mend) > int(old.mend)


def _topology(config: RunConfig, site: Site, policy: Mapping[str, Any]) -> Iterator[PolicyConflict]:
    split = (config.for_party(site.party) if site.party in config.parties else config).split
    allowed = list(policy.get("topologies") or [])
    if allowed and split.topology not in allowed:
        message = f"The site policy of {site.name} allows {', '.join(allowed)} only."
        yield PolicyConflict("split.topology", message, allowed[0])
        return
    for name, word in (("head_layers", "head"), ("tail_layers", "tail")):
        least = int(policy.get(f"min_{name}") or 0)
        if name == "tail_layers" and split.topology != "u_shape":
            continue
        if getattr(split, name) < least:
            message = f"The site policy of {site.name} demands at least {least} {word} layer{'s' * (least > 1)}."
            yield PolicyConflict(f"split.{name}", message, str(least))


def _model(config: RunConfig, site: Site, policy: Mapping[str, Any], manifest: str) -> Iterator[PolicyConflict]:
    allowed = list(policy.get("models") or [])
    name = config.model.name_or_path
    if allowed and name not in allowed and (config.model.manifest or manifest) not in allowed:
        names = [one for one in allowed if len(one) != 64]
        message = f"The site policy of {site.name} does not allow this base model, but {', '.join(names) or 'others'}."
        yield PolicyConflict("model.name_or_path", message)


def _steps(config: RunConfig, site: Site, policy: Mapping[str, Any]) -> Iterator[PolicyConflict]:
    limit = policy.get("max_steps")
    steps = config.training.steps
    if limit is None or (steps is not None and steps <= int(limit)):
        return
    how = "" if steps is not None else ", so the steps must be given"
    yield PolicyConflict(
        "training.steps", f"The site policy of {site.name} allows at most {limit} steps{how}.", str(limit)
    )


def _hosts(site: Site, policy: Mapping[str, Any], sites: list[Site]) -> Iterator[PolicyConflict]:
    """Tensors go to the compute worker's host; where that is not told yet, nothing is known."""
    patterns = [str(pattern).lower() for pattern in policy.get("hosts") or []]
    for server in (one.worker for one in sites if one.role == ParticipantRole.SERVER):
        host = str((server.facts or {}).get("tensor_host") or "").lower()
        if patterns and host and not any(fnmatchcase(host, pattern) for pattern in patterns):
            message = f"The site policy of {site.name} sends no tensors to {host}, the host of {server.name}."
            yield PolicyConflict("server", message)


def format_clash(formats: Mapping[str, str]) -> dict[str, str]:
    """The datasets (key → format) that do not have the most common format, each with a sentence; CL-1004 in words."""
    kinds = list(formats.values())
    if len(set(kinds)) < 2:
        return {}
    common = max(dict.fromkeys(kinds), key=kinds.count)
    return {
        key: f"This dataset has the format {kind}, the others {common}. Choose one of the same format, or register it"
        f" again with another column mapping (CL-1004)."
        for key, kind in formats.items()
        if kind != common
    }
