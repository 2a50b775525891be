"""Each rule of a policy that a configuration can break: what it asks, at which field, and in which words.

A worker refuses in these words at its last door, and the hub shows the same beside the field while a run is configured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from splitcore.config import RunConfig
from splitcore.config.spending import release_of
from splitcore.flow import Flow, Part, Thing
from splitcore.flows.cast import anyone
from splitcore.flows.declare import flows_of
from splitcore.flows.topology import only_in
from splitcore.privacy.composition import Budget, epsilon_from, in_words

REFUSED, HOST_REFUSED = "CL-1509", "CL-1424"
HOST_NAME = re.compile(r"[A-Za-z0-9._:%\[\]-]+")
SHOWN = 5  # names of a list in a sentence


@dataclass(frozen=True)
class Subject:
    """A run as one party takes part in it; what is not known yet is empty, and breaks no rule."""

    config: RunConfig  # as that party sees it
    flows: Sequence[Flow]
    manifest: str = ""  # of the base model, where the configuration names none
    message_bytes: int = 0  # of the largest tensor message
    host: str = ""  # of the compute worker

    @classmethod
    def of(cls, config: RunConfig, *, manifest: str = "", message_bytes: int = 0, host: str = "") -> Subject:
        """With what leaves a data party of that configuration."""
        return cls(config, tuple(flows_of(config, anyone(1))), manifest, message_bytes, host)


@dataclass(frozen=True)
class Breach:
    """What a rule says of a run: the field to change, why, what is allowed, and the value that mends it best."""

    field: str
    sentence: str
    allowed: str
    mend: str = ""


@dataclass(frozen=True)
class Rule:
    """`stricter` makes one value of two; without it each party's value counts by itself."""

    breaches: Callable[[Any, Subject], Iterator[Breach]]
    stricter: Callable[[Any, Any], Any] | None = None
    of_data: bool = True  # a compute party has no say in it: it is about what leaves a data party
    of_trainers: bool = False  # it is about hidden states, of which a party that only measures sends none
    code: str = REFUSED


def _topologies(allowed: Sequence[str], run: Subject) -> Iterator[Breach]:
    topology = run.config.split.topology
    if topology in allowed:
        return
    sent = " and ".join(flow.what for flow in _leaving(run) if flow.only == only_in(topology))
    words = f"{_listed(allowed)} only" if allowed else "no topology"
    yield Breach(
        "split.topology",
        f"The topology {topology} is not allowed: it sends {sent}. Allowed: {words}.",
        ", ".join(allowed),
        next(iter(allowed), ""),
    )


def _head_layers(least: int, run: Subject) -> Iterator[Breach]:
    yield from _layers("head", least, run, Thing.ROWS)


def _tail_layers(least: int, run: Subject) -> Iterator[Breach]:
    yield from _layers("tail", least, run, Thing.LABELS)


def _layers(end: str, least: int, run: Subject, thing: Thing) -> Iterator[Breach]:
    """Of use only where what crosses the cut tells something of `thing`."""
    count: int = getattr(run.config.split, f"{end}_layers")
    told = [how for flow in _leaving(run) if (how := _told(flow, thing))]
    if told and count < least:
        sentence = (
            f"At least {least} {end} layer{'s' * (least != 1)} must stay at the site, but only {count} would. {told[0]}"
        )
        yield Breach(f"split.{end}_layers", sentence, str(least), str(least))


def _leaving(run: Subject) -> Iterator[Flow]:
    return (flow for flow in run.flows if flow.sender is Part.CLIENT)


def _told(flow: Flow, thing: Thing) -> str:
    """What a tensor at the cut tells of something that stays at the site."""
    at_cut = flow.thing in (Thing.ACTIVATIONS, Thing.CUT_GRADIENTS)
    told = [reveal.how for reveal in flow.reveals if reveal.thing is thing]
    return f"{flow.what.capitalize()} leave. {told[0]}" if at_cut and told else ""


def _models(allowed: Sequence[str], run: Subject) -> Iterator[Breach]:
    """Named by id or by the hash of its manifest."""
    model = run.config.model
    if model.name_or_path not in allowed and (model.manifest or run.manifest) not in allowed:
        names = [name for name in allowed if len(name) != 64]
        sentence = f"This base model is not allowed. Allowed: {_listed(names) or 'others'}."
        yield Breach("model.name_or_path", sentence, ", ".join(allowed))


def _steps(most: int, run: Subject) -> Iterator[Breach]:
    steps = run.config.training.steps
    if steps is None:
        sentence = f"At most {most} steps are allowed, so the number of steps must be set."
        yield Breach("training.steps", sentence, str(most), str(most))
    elif steps > most:
        yield Breach(
            "training.steps", f"At most {most} steps are allowed, but the run has {steps}.", str(most), str(most)
        )


def _message_bytes(most: int, run: Subject) -> Iterator[Breach]:
    if run.message_bytes > most:
        sentence = (
            f"Tensor messages may have at most {most:,} bytes, but this run's can have {run.message_bytes:,}."
            " Lower the batch size, or raise the number of micro-batches."
        )
        yield Breach("training.batch_size", sentence, str(most))


def _privacy_budget(asked: Mapping[str, float], run: Subject) -> Iterator[Breach]:
    """What the shortest row's first release already goes beyond; what rows have spent before, their site knows."""
    budget = Budget(asked["epsilon"], asked["delta"])
    release, limit = release_of(run.config, 1), f"ε = {budget.epsilon:g} (δ = {budget.delta:g})"
    if release is None:
        sentence = f"The site's privacy budget is {limit} for each row. Without noise of a known law there is no bound."
        yield Breach("privacy.defences", sentence, limit)
    elif release.squared > budget.squared:
        spent = in_words(epsilon_from(release.squared, budget.delta))
        has = spent if spent == "no bound" else f"ε = {spent}"
        sentence = (
            f"The site's privacy budget is {limit} for each row. With this noise, one release of a single token has "
            f"{has}."
        )
        yield Breach("privacy.defences", sentence, limit)


def _hosts(patterns: Sequence[str], run: Subject) -> Iterator[Breach]:
    return host_breaches(patterns, run.host) if run.host else iter(())


def role_breaches(config: RunConfig) -> Iterator[Breach]:
    """What no site allows, whatever its policy: its rows are stored by their roles, which a run does not exchange."""
    if any(role != column for role, column in config.data.columns.items()):
        sentence = (
            "A site's rows are stored by role. Reading them in other roles would turn a prompt into a label. "
            "Leave data.columns empty."
        )
        yield Breach("data.columns", sentence, "")


def host_breaches(patterns: Sequence[str], host: str) -> Iterator[Breach]:
    """Of the compute worker's address, which no contract names: asked once more when it is known. `*` is any text.

    The hub tells it, and it goes to the site's proxy: what could not be a name or an address is none of a site's hosts.
    """
    if not HOST_NAME.fullmatch(host):
        yield Breach("server", "The compute worker's address isn't a host name or IP address.", ", ".join(patterns))
    elif patterns and not any(fnmatchcase(host.lower(), pattern.lower()) for pattern in patterns):
        sentence = f"Tensors may not be sent to {host}, the compute worker's host."
        yield Breach("server", sentence, ", ".join(patterns))


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for value in one if value in other)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


# By the field of a policy. An empty list, and no number, ask nothing.
RULES: dict[str, Rule] = {
    "topologies": Rule(_topologies, _common),
    "min_head_layers": Rule(_head_layers, max),
    "min_tail_layers": Rule(_tail_layers, max),
    "models": Rule(_models, of_data=False),
    "max_steps": Rule(_steps, min, of_data=False),
    "max_message_bytes": Rule(_message_bytes, min, of_data=False),
    "privacy_budget": Rule(_privacy_budget, of_trainers=True),
    "hosts": Rule(_hosts, code=HOST_REFUSED),
}

# The others, which no configuration breaks: the site's own books and its running halves decide.
DECIDED_AT_THE_SITE: dict[str, str] = {
    "version": "says how the file is read",
    "peer_trust": "compared with the certificates in the site's own trust.json",
    "approve": "compared with what a person of the site has approved",
    "egress_bytes_per_run": "counted while a run sends",
    "evaluations_per_day": "counted in the site's ledger",
    "audits": "compared with what the hub asks a worker to do",
    "ledger": "says how the site keeps its ledger",
}
