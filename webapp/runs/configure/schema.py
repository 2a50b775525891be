"""RunConfig's fields as a form needs them: what each is called, what it accepts, its unit, help and level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic_core import PydanticUndefined

from interface.formatting import human_number
from splitcore.config import RunConfig

Kind = Literal["integer", "number", "text", "choice", "flag", "names", "mapping"]
SECTIONS = {
    "model": ("Base model", "The model that everyone fine-tunes, pinned so that all load the same weights."),
    "split": ("Split", "Where the model is cut, and who holds the last layers."),
    "lora": ("Adapter", "What is trained: small matrices beside the frozen weights."),
    "training": ("Training", "How long and how fast."),
    "wire": ("Traffic", "Number formats between the organisations."),
    "data": ("Rows", "How rows become tokens."),
    "schedule": ("Several organisations", "How the organisations' heads and tails are kept together."),
    "privacy": ("Privacy", "Mechanisms at the cut."),
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
        "How they train together": ("mode", "aggregate_every", "group_clients"),
        "In turn (sequential)": ("turn_steps", "relay"),
        "When one is late": ("straggler", "deadline_factor"),
    },
    "wire": {
        "Formats": ("activations", "gradients", "gradient_rounding", "skip_padding"),
        "Changes instead of values": ("changes", "cache_mb", "cache_on"),
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

    @property
    def section(self) -> str:
        """The section's name."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """The field's name within its section."""
        return self.path.partition(".")[2]

    @property
    def bounds(self) -> str:
        """What the field accepts, in words."""
        if self.low is not None and self.high is not None:
            return f"{human_number(self.low)} to {human_number(self.high)}"
        return f"at least {human_number(self.low)}" if self.low is not None else ""


def _parts(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a JSON schema, without null."""
    options = schema.get("anyOf") or [schema]
    found = [definitions[o["$ref"].rsplit("/", 1)[-1]] if "$ref" in o else dict(o) for o in options]
    return [option for option in found if option.get("type") != "null"]


def _kind(part: Mapping[str, Any], parts: list[dict[str, Any]]) -> Kind:
    if any(option.get("type") == "array" for option in parts):
        return "names"
    if "enum" in part or "const" in part:
        return "choice"
    kinds: dict[str, Kind] = {"integer": "integer", "number": "number", "boolean": "flag", "object": "mapping"}
    return kinds.get(str(part.get("type")), "text")


def _spec(path: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], default: Any) -> FieldSpec:
    parts = _parts(schema, definitions)
    part = {**parts[0], **{key: schema[key] for key in ("minimum", "maximum") if key in schema}}
    nullable = len(parts) < len(schema.get("anyOf") or [schema])
    return FieldSpec(
        path=path,
        label=str(schema.get("label") or path.rpartition(".")[2].replace("_", " ").capitalize()),
        help=str(schema.get("description", "")),
        unit=str(schema.get("unit", "")),
        level=str(schema.get("level", "simple")),
        kind=_kind(part, parts),
        choices=tuple(str(value) for value in part.get("enum", [part["const"]] if "const" in part else [])),
        low=part.get("minimum", part.get("exclusiveMinimum")),
        high=part.get("maximum", part.get("exclusiveMaximum")),
        nullable=nullable,
        default=None if default is PydanticUndefined else default,
        required=default is PydanticUndefined,
    )


@lru_cache(maxsize=1)
def field_specs() -> tuple[FieldSpec, ...]:
    """Every field of every section, in RunConfig's own order within SECTIONS' order."""
    schema = RunConfig.model_json_schema()
    definitions = schema["$defs"]
    specs = []
    for section in SECTIONS:
        model = RunConfig.model_fields[section].annotation
        assert model is not None
        for name, part in definitions[model.__name__]["properties"].items():
            specs.append(_spec(f"{section}.{name}", part, definitions, model.model_fields[name].default
                               if not model.model_fields[name].default_factory else {}))  # fmt: skip
    return tuple(specs)


def grouped(section: str, names: list[str]) -> list[tuple[str, list[str]]]:
    """The fields of a section under their headings, in the headings' order; "" heads what stands alone."""
    groups = GROUPS.get(section, {})
    found = [(title, [name for name in wanted if name in names]) for title, wanted in groups.items()]
    placed = {name for _, members in found for name in members}
    rest = [name for name in names if name not in placed]
    found += [("More" if groups else "", rest)] if rest else []
    return [(title, members) for title, members in found if members]


def value_at(config: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """The value at a dotted path of a nested configuration."""
    section, _, name = path.partition(".")
    part = config.get(section)
    return part.get(name, default) if isinstance(part, Mapping) else default


def changed_paths(config: Mapping[str, Any]) -> list[str]:
    """Fields that differ from their defaults; what has no default does not count."""
    return [
        spec.path
        for spec in field_specs()
        if not spec.required and value_at(config, spec.path, spec.default) != spec.default
        and spec.path not in ("model.revision", "model.manifest")
    ]  # fmt: skip
