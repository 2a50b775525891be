"""Every list, text, mapping and number of a configuration has an end: what is read is worked with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from splitcore.config import RunConfig
from splitcore.errors import AppError

MODEL = {"name_or_path": "owner/model"}
SCHEMA = RunConfig.model_json_schema()
LONGEST = 2000


def parts(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within this one, with where it stands."""
    if "$ref" in schema:
        schema = {**SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[-1]], **schema}
    yield path, schema
    for one in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
        # pydantic writes the bounds of an optional number beside its alternatives or within them
        bounds = {key: schema[key] for key in ("minimum", "maximum") if key in schema}
        yield from parts({**bounds, **one}, path)
    for name, one in schema.get("properties", {}).items():
        yield from parts(one, f"{path}.{name}")
    for one in schema.get("patternProperties", {}).values():
        yield from parts(one, f"{path}.*")
    for key in ("additionalProperties", "items"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], f"{path}[]")


def faults(schema: dict[str, Any]) -> Iterator[str]:
    """What of a schema has no end."""
    kind, keys = schema.get("type"), schema.keys()
    if "enum" in keys or "const" in keys or kind in ("null", "boolean"):
        return
    if kind is None and not keys & {"anyOf", "oneOf", "allOf"}:
        yield "anything at all"
    if kind == "string" and not schema.get("maxLength", LONGEST + 1) <= LONGEST:
        yield "a text without maxLength"
    if kind == "array" and not schema.get("maxItems", LONGEST + 1) <= LONGEST:
        yield "a list without maxItems"
    has_both = keys & {"minimum", "exclusiveMinimum"} and keys & {"maximum", "exclusiveMaximum"}
    if kind in ("integer", "number") and not has_both:
        yield "a number without bounds"
    if kind == "object" and schema.get("additionalProperties") is not False:
        if not schema.get("maxProperties", LONGEST + 1) <= LONGEST:
            yield "a mapping without maxProperties"
        if "maxLength" not in schema.get("propertyNames", {}):
            yield "a mapping whose keys have no maxLength"


def test_every_part_of_the_configuration_has_bounds() -> None:
    found = list(parts(SCHEMA, ""))
    assert len(found) > 60
    assert [f"{path}: {fault}" for path, part in found for fault in faults(part)] == []


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "string"}, "text"),
        ({"type": "array", "items": {"type": "boolean"}}, "list"),
        ({"type": "integer", "minimum": 1}, "number"),
        ({"type": "object", "maxProperties": 3}, "keys"),
        ({"type": "object", "propertyNames": {"maxLength": 9}}, "maxProperties"),
        ({}, "anything"),
    ],
)
def test_the_walk_finds_what_has_none(schema: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in faults(schema))


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"lora": {"target_modules": [f"m{number}" for number in range(15_000)]}}, "lora.target_modules"),
        ({"lora": {"target_modules": ["m" * 301]}}, "lora.target_modules"),
        ({"lora": {"target_modules": ["q_proj; rm"]}}, "lora.target_modules"),
        ({"data": {"columns": {f"role{number}": "x" for number in range(17)}}}, "data.columns"),
        ({"parties": {f"party{number}": {} for number in range(65)}}, "parties"),
    ],
    ids=["many targets", "a long target", "no target", "many columns", "many parties"],
)
def test_what_is_beyond_them_is_refused_at_once_by_its_field(section: dict[str, Any], field: str) -> None:
    began = time.process_time()
    with pytest.raises(AppError, match="CL-1001") as caught:
        RunConfig.parse({"model": MODEL, **section})
    assert time.process_time() - began < 0.5
    fields = caught.value.details["fields"]
    assert len(fields) <= 2
    assert fields[0]["field"].startswith(field)


def test_every_linear_module_of_a_deep_model_can_be_named() -> None:
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    targets = [f"model.layers.{layer}.self_attn.{name}" for layer in range(126) for name in names]
    assert RunConfig.parse({"model": MODEL, "lora": {"target_modules": targets}}).lora.target_modules == targets
