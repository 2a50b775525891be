"""RunConfig's fields as a form needs them: what each is called, what it accepts, its unit, help and level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal

from interface.formatting import human_number
from splitcore.config import RunConfig

Kind = Literal["integer", "number", "text", "choice", "flag", "names"]
AT_NO_SITE = ("data.columns",)  # what `cutlayer train` alone reads: no form of a run offers it
SECTIONS = {
    "model": ("Base model", "The model to fine-tune, pinned so that everyone loads the same weights."),
    "split": ("Split", "Where the model is cut, and who keeps the last layers."),
    "lora": ("Adapter", "What is trained: small matrices next to the frozen weights."),
    "training": ("Training", "How long and how fast to train."),
    "wire": ("Traffic", "Number formats between the organisations."),
    "data": ("Rows", "How rows become tokens."),
    "schedule": ("Several organisations", "How the organisations' heads and tails are synchronised."),
    "methods": ("Methods", "What each data organisation trains in addition to the split model."),
    "privacy": ("Privacy", "Defences for what a data organisation sends. Their cost and effect are measured."),
}
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {  # headings within a long section; what is not named comes last
    "training": {
        "Length and batch": ("steps", "epochs", "batch_size", "micro_batches", "max_length"),
        "Optimisation": (
            "learning_rate",
            "optimiser",
            "weight_decay",
            "schedule",
            "warmup",
            "clip_norm",
            "seed",
            "shuffle",
        ),
        "Memory": ("gradient_checkpointing", "cache_activations"),
        "Evaluation and safety": ("eval_every", "checkpoint_every", "checkpoints_kept", "on_non_finite"),
    },
    "schedule": {
        "How they train together": ("schedule", "aggregate_every", "turn_steps", "relay", "group_clients"),
        "Late organisations": ("straggler", "deadline_factor"),
    },
    "wire": {
        "Formats": ("activations", "gradients", "rounding", "skip_padding"),
        "Delta encoding": ("changes", "cache_mb", "cache_on"),
        "Connection": ("patience",),
    },
}


@dataclass(frozen=True)
class FieldSpec:
    """One field of RunConfig."""

    path: str  # section.field
    label: str
    help: str
    unit: str
    level: str
    kind: Kind
    choices: tuple[str, ...]
    low: float | None
    high: float | None
    nullable: bool
    default: Any
    required: bool
    is_above: bool = False  # `low` itself is not accepted
    within: str = ""  # of a strategy's field: the path of the choice
    members: tuple[str, ...] = ()  # and the names that bring it
    listed: str = ""  # of a strategy of which any number may be named, and of its fields: the path of the list

    @property
    def section(self) -> str:
        """The section's name."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """The field's own name."""
        return self.path.rpartition(".")[2]

    @property
    def bounds(self) -> str:
        """What the field accepts, in words."""
        if self.is_above and self.low is not None:
            most = f", at most {human_number(self.high)}" if self.high is not None else ""
            return f"above {human_number(self.low)}{most}"
        if self.low is not None and self.high is not None:
            return f"{human_number(self.low)} to {human_number(self.high)}"
        return f"at least {human_number(self.low)}" if self.low is not None else ""


def _parts(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a JSON schema, without null."""
    options = schema.get("anyOf") or schema.get("oneOf") or [schema]
    found = [_resolved(option, definitions) for option in options]
    return [option for option in found if option.get("type") != "null"]


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    return dict(definitions[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema)


def _kind(part: Mapping[str, Any], parts: list[dict[str, Any]]) -> Kind:
    if any(option.get("type") == "array" for option in parts):
        return "names"
    if "enum" in part or "const" in part:
        return "choice"
    kinds: dict[str, Kind] = {"integer": "integer", "number": "number", "boolean": "flag"}
    return kinds.get(str(part.get("type")), "text")


def _names(part: Mapping[str, Any]) -> tuple[str, ...]:
    """The values that a schema lists."""
    return tuple(str(value) for value in part.get("enum", [part["const"]] if "const" in part else []))


def _spec(path: str, schema: Mapping[str, Any], parts: list[dict[str, Any]], **more: Any) -> FieldSpec:
    part = {**parts[0], **{key: schema[key] for key in ("minimum", "maximum") if key in schema}}
    return FieldSpec(
        path=path,
        label=str(schema.get("label") or path.rpartition(".")[2].replace("_", " ").capitalize()),
        help=str(schema.get("description", "")),
        unit=str(schema.get("unit", "")),
        level=str(schema.get("level", "simple")),
        low=part.get("minimum", part.get("exclusiveMinimum")),
        is_above="exclusiveMinimum" in part,
        high=part.get("maximum", part.get("exclusiveMaximum")),
        nullable=len(parts) < len(schema.get("anyOf") or [schema]) and "oneOf" not in schema,
        **{"kind": _kind(part, parts), "choices": _names(part), **more},
    )


def _walk(path: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], **given: Any) -> Iterator[FieldSpec]:
    """The fields at and below a place of the schema: of a section, all of its own; of a choice, those of each."""
    own = _resolved(schema, definitions)
    parts = _parts(own, definitions)
    if "discriminator" in own:
        names = tuple(name for part in parts for name in _names(part["properties"]["name"]))
        choice = _spec(path, schema, parts, kind="choice", choices=names, **given)
        yield replace(choice, help=_explained(choice.help, parts))
        for part in parts:
            members = _names(part["properties"]["name"])
            for name, field in part["properties"].items():
                if name != "name":
                    below = _given(field, part, name) | {"within": path, "members": members}
                    for spec in _walk(f"{path}.{members[0]}.{name}", field, definitions, **below):
                        # what two choices of one section have alike is told apart by the choice's name
                        of = f" of {choice.label.lower()}" if "." in path else ""
                        yield replace(spec, label=f"{spec.label}{of}")
    elif "discriminator" in own.get("items", {}):
        for part in _parts(own["items"], definitions):
            yield from _listed(path, schema, part, definitions)
    elif "properties" in own:
        for name, field in own["properties"].items():
            yield from _walk(f"{path}.{name}", field, definitions, **_given(field, own, name))
    else:
        yield _spec(path, schema, parts, **given)


def _explained(text: str, parts: Sequence[Mapping[str, Any]]) -> str:
    """What a choice is for, and what each strategy does, where each has one name; a family tells it of itself."""
    names = [_names(part["properties"]["name"]) for part in parts]
    if any(len(own) > 1 for own in names):
        return text
    told = [f"{own[0]}: {part.get('description', '')}" for own, part in zip(names, parts, strict=True)]
    return " ".join([text, *told])


def _listed(
    path: str, schema: Mapping[str, Any], part: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[FieldSpec]:
    """A strategy of which any number may be named: whether it is, and its fields where it is."""
    (name,) = _names(part["properties"]["name"])
    own = {"label": name.replace("_", " ").capitalize(), "level": schema.get("level", "simple")}
    flag = {"kind": "flag", "default": False, "required": False, "listed": path, "members": (name,)}
    yield _spec(f"{path}.{name}", {**part, **own}, [dict(part)], **flag)
    for field_name, field in part["properties"].items():
        if field_name != "name":
            below = _given(field, part, field_name) | {"within": f"{path}.{name}", "listed": path, "members": (name,)}
            yield from _walk(f"{path}.{name}.{field_name}", field, definitions, **below)


def _given(field: Mapping[str, Any], owner: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Whether a field must be given, and what it is where it is not."""
    required = name in owner.get("required", [])
    return {"required": required, "default": None if required else field.get("default", {})}


@lru_cache(maxsize=1)
def field_specs() -> tuple[FieldSpec, ...]:
    """Every field of every section that a run may have, in RunConfig's own order within SECTIONS' order."""
    schema = RunConfig.model_json_schema()
    found: list[FieldSpec] = []
    for section in SECTIONS:
        field = schema["properties"][section]
        found += _walk(section, field, schema["$defs"], **_given(field, schema, section))
    return tuple(spec for spec in found if spec.path not in AT_NO_SITE)


def spec_at(path: str) -> FieldSpec | None:
    """The field that a dotted path of RunConfig's own messages names; of a choice, by any name of its family."""
    whole, parts = specs_by_path(), [part for part in path.split(".") if not part.isdigit()]
    if ".".join(parts) in whole:
        return whole[".".join(parts)]
    for cut in range(len(parts) - 1, 0, -1):
        owner, name, rest = ".".join(parts[: cut - 1]), parts[cut - 1], ".".join(parts[cut:])
        for spec in field_specs():
            if spec.within == owner and name in spec.members and spec.path.endswith(f".{rest}"):
                return spec
    return next((spec for spec in field_specs() if spec.listed and spec.listed == path), None)


@lru_cache(maxsize=1)
def specs_by_path() -> dict[str, FieldSpec]:
    """Every field by its path."""
    return {spec.path: spec for spec in field_specs()}


def grouped(section: str) -> list[tuple[str, list[FieldSpec]]]:
    """The fields of a section under their headings, in the headings' order; "" heads what stands alone.

    A strategy's field stands where its own name is listed, else after the choice that brings it.
    """
    groups, specs = GROUPS.get(section, {}), [spec for spec in field_specs() if spec.section == section]
    places = {name: (title, at) for title, wanted in groups.items() for at, name in enumerate(wanted)}
    found: dict[str, list[tuple[int, FieldSpec]]] = {title: [] for title in groups}
    for spec in specs:
        place = places.get(spec.name) or places.get(spec.within.rpartition(".")[2])
        title, at = place or ("More" if groups else "", len(specs))
        found.setdefault(title, []).append((at, spec))
    ordered = {title: [spec for _, spec in sorted(members, key=itemgetter(0))] for title, members in found.items()}
    return [(title, members) for title, members in ordered.items() if members]
