"""Every combination of topology, schedule, codec and protection that RunConfig permits, read from its own schema.

The product of all fields has millions of members, so fields that flows read together are multiplied, and the others
(codecs with each other) are multiplied on their own for each topology.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from splitcore.config import RunConfig, idle_fields
from splitcore.errors import AppError
from splitcore.flows import Cast, Flow, anyone, flows_of

# Fields with bounds instead of a list of values: both sides of every border that the flows know.
CHOSEN: dict[str, list[Any]] = {
    "aggregate_every": [0, 1, 5],
    "turn_steps": [1, 3],
    "deadline_factor": [1.5],
    "split.head_layers": [0, 2],
    "split.tail_layers": [0, 2],
    "data.task": ["text", {"name": "sequence", "labels": ["cold", "hot"]}],
}
TOGETHER = (
    "split.topology",
    "schedule",
    "lora.train_head",
    "training.cache_activations",
    "wire.changes",
    "wire.skip_padding",
    "privacy.defences",
)
APART = (
    ("split.topology", "wire.activations", "wire.gradients", "wire.changes"),
    ("split.topology", "split.head_layers", "split.tail_layers", "lora.train_head", "data.loss_on"),
    ("split.topology", "schedule", "training.optimiser"),
    ("split.topology", "schedule", "lora.train_head", "privacy.sums"),
    ("split.topology", "lora.train_head", "methods", "privacy.defences"),
    ("split.topology", "split.tail_layers", "data.task", "data.loss_on"),
)


@dataclass(frozen=True)
class Run:
    """A permitted configuration with its parties, and what leaves them."""

    config: RunConfig
    cast: Cast
    flows: tuple[Flow, ...]


@cache
def runs() -> tuple[Run, ...]:
    """Each permitted configuration, with one, two and three data parties where the schedule is in it."""
    bare = RunConfig.parse({"model": {"name_or_path": "m"}})
    pairs = [(bare, anyone(2, prompts=False))]
    for names in (TOGETHER, *APART):
        counts = (1, 2, 3) if names is TOGETHER else (2,)
        pairs += [(config, anyone(count)) for config in permitted(names) for count in counts]
    one: dict[Flow, Flow] = {}  # equal flows of several runs are one object
    return tuple(
        Run(config, cast, tuple(one.setdefault(flow, flow) for flow in flows_of(config, cast)))
        for config, cast in pairs
    )


def permitted(names: tuple[str, ...]) -> Iterator[RunConfig]:
    """The configurations of every value of these fields with every value of the others; none that change nothing."""
    for values in product(*(choices(name) for name in names)):
        data: dict[str, Any] = {"model": {"name_or_path": "m"}}
        for name, value in zip(names, values, strict=True):
            section, _, field = name.partition(".")
            data[section] = {**data.get(section, {}), field: value} if field else value
        try:
            config = RunConfig.parse(data)
        except AppError:
            continue
        if not any(idle["field"] in names for idle in idle_fields(config)):
            yield config


def choices(name: str) -> list[Any]:
    """All values of a field as the schema lists them; of a whole section, all values of its choices."""
    if name in CHOSEN:
        return CHOSEN[name]
    schema = RunConfig.model_json_schema()
    found: Mapping[str, Any] = schema
    for step in name.split("."):
        found = _resolved(schema, found)["properties"][step]
    return list(_values(schema, found))


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref") or (node.get("allOf") or [{}])[0].get("$ref")
    found: Mapping[str, Any] = schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else node
    return found


def _values(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Any]:
    """What a node of the schema allows. Raises ValueError for a field whose values cannot be listed."""
    node = _resolved(schema, node)
    options = node.get("anyOf") or node.get("oneOf")
    if options:
        for option in options:
            yield from _values(schema, option)
    elif "const" in node:
        yield node["const"]
    elif "enum" in node:
        yield from node["enum"]
    elif node.get("type") == "boolean":
        yield from (False, True)
    elif "items" in node:  # of strategies: none, and each alone
        yield from ([], *([name] for option in node["items"]["oneOf"] for name in _names(schema, option)))
    elif node.get("type") == "null":
        yield None
    elif node.get("type") == "object":
        listed = {n: CHOSEN[n] if n in CHOSEN else list(_values(schema, v)) for n, v in node["properties"].items()}
        for values in product(*listed.values()):
            yield dict(zip(listed, values, strict=True))
    else:
        raise ValueError(f"the values of {node.get('title') or node} cannot be listed")


def _names(schema: Mapping[str, Any], option: Mapping[str, Any]) -> Iterator[str]:
    yield from _values(schema, _resolved(schema, option)["properties"]["name"])
