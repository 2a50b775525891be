"""Promise 9, the hub's side: no endpoint takes rows, every message is bounded, and every key is listed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.conf import settings
from django.db import models
from django.urls import get_resolver

from webapp.api import api
from workers import contracts

# Free-form by design, of a bounded size and depth; telemetry.services keeps the known values of a payload alone.
FREE = {("TelemetryRecord", "payload"), ("ModelRegistration", "config")}
SENT = [
    contracts.EnrolRequest,
    contracts.RotateRequest,
    contracts.Hello,
    contracts.Beat,
    contracts.PolicyVerdict,
    contracts.Claim,
    contracts.Ready,
    contracts.Exit,
    contracts.TelemetryBatch,
    contracts.DatasetMetadata,
    contracts.ModelRegistration,
    contracts.SegmentUpload,
    contracts.VerifyReport,
    *contracts.PAYLOADS.values(),
    *{form.end for form in contracts.JOBS.values()} - {contracts.Exit, contracts.VerifyReport},
]
_TEXT_MAX = 4000


def _unbounded(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> list[str]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _object(definitions[name], definitions, name)
    if "anyOf" in schema:
        return [found for option in schema["anyOf"] for found in _unbounded(option, definitions, path)]
    kind = schema.get("type")
    if kind == "array":
        found = [] if "maxItems" in schema else [f"{path}: a list without an end"]
        return found + _unbounded(schema["items"], definitions, path)
    if kind == "string":
        closed = {"enum", "const", "pattern", "format"} & set(schema)
        return (
            [] if closed or schema.get("maxLength", _TEXT_MAX + 1) <= _TEXT_MAX else [f"{path}: a text without an end"]
        )
    if kind == "object":
        return [f"{path}: takes any key"]
    return []


def _object(schema: dict[str, Any], definitions: dict[str, Any], name: str) -> list[str]:
    if "enum" in schema:
        return []
    found = [] if schema.get("additionalProperties") is False else [f"{name}: takes unknown keys"]
    for field, value in schema["properties"].items():
        if (name, field) not in FREE:
            found += _unbounded(value, definitions, f"{name}.{field}")
    return found


@pytest.mark.parametrize("message", SENT, ids=lambda message: message.__name__)
def test_every_message_of_a_worker_is_a_closed_and_bounded_schema(message):
    schema = message.model_json_schema()
    assert _object(schema, schema.get("$defs", {}), message.__name__) == []


def test_a_workers_message_is_at_most_one_mebibyte():
    assert settings.WORKER_BODY_MAX_BYTES <= 1024 * 1024
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE <= 2 * 1024 * 1024


def test_no_model_and_no_form_of_the_hub_takes_a_file():
    fields = [field for model in apps.get_models() for field in model._meta.get_fields()]
    assert not [field for field in fields if isinstance(field, models.FileField)]
    get_resolver().url_patterns  # noqa: B018  (imports every view, and with it every form)
    classes = [forms.Form]
    for found in classes:
        classes += found.__subclasses__()
    ours = [found for found in classes if found.__module__.startswith("webapp.")]
    assert ours
    taken = [(form, name) for form in ours for name, field in form.base_fields.items()]
    assert not [name for form, name in taken if isinstance(form.base_fields[name], forms.FileField)]


def test_no_operation_of_the_api_takes_a_file():
    described = json.dumps(api.get_openapi_schema())
    assert "multipart/form-data" not in described
    assert '"binary"' not in described
