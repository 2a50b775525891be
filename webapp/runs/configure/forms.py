"""The form of a run: RunConfig's fields, each with what was typed, whether it is valid or not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from django import forms

from splitcore.config import RunConfig, override_problems
from splitcore.errors import AppError
from webapp.runs.configure.overrides import INHERITED, DataParty, Overrides, whole_number
from webapp.runs.configure.schema import SECTIONS, FieldSpec, field_specs, grouped, spec_at
from webapp.runs.configure.values import changed_paths, put_at, value_at


@dataclass(frozen=True)
class FormField:
    """A field ready to be drawn."""

    spec: FieldSpec
    bound: forms.BoundField
    changed: bool
    error: str
    mend: str = ""  # the value that mends the error with the least change
    hidden: bool = False  # a field of a strategy that is not chosen

    @property
    def element_id(self) -> str:
        """An id without dots, for labels, errors and links."""
        return "f-" + self.spec.path.replace(".", "-")

    @property
    def shown_by(self) -> str:
        """The id of the choice that brings this field; empty for one that is always there."""
        return "f-" + self.spec.within.replace(".", "-") if self.spec.within else ""


@dataclass(frozen=True)
class FormGroup:
    """Fields under one heading of a section."""

    title: str
    fields: list[FormField]

    @property
    def advanced(self) -> bool:
        """Whether nothing in it belongs to the simple form."""
        return all(field.spec.level == "advanced" for field in self.fields)

    @property
    def has_news(self) -> bool:
        """Whether it must be shown in the simple form too."""
        return any(field.changed or field.error for field in self.fields)


@dataclass(frozen=True)
class FormSection:
    """A section ready to be drawn."""

    key: str
    title: str
    text: str
    groups: list[FormGroup]

    @property
    def fields(self) -> list[FormField]:
        """All fields."""
        return [field for group in self.groups for field in group.fields]

    @property
    def advanced(self) -> bool:
        """Whether nothing in it belongs to the simple form."""
        return all(group.advanced for group in self.groups)

    @property
    def has_news(self) -> bool:
        """Whether it must be shown in the simple form too."""
        return any(group.has_news for group in self.groups)


@dataclass(frozen=True)
class Problem:
    """Something to correct, and the control where that is done; empty where there is none."""

    text: str
    element_id: str = ""


def to_text(spec: FieldSpec, value: Any) -> Any:
    """A stored value as the control shows it."""
    if spec.kind == "flag":
        return bool(value)
    if value is None:
        return ""
    if spec.kind == "names":
        return value if isinstance(value, str) else ", ".join(str(item) for item in value)
    if spec.kind == "number" and isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    return str(value)


# Beyond what RunConfig takes: what is more stays one text, is refused with the rest, and is shown as it was typed.
_MOST = 1200


def from_text(spec: FieldSpec, text: Any) -> Any:
    """What was typed as RunConfig takes it; what cannot be converted stays as typed and fails there, with a message."""
    if spec.kind == "flag":
        return bool(text)
    text = str(text or "").strip()
    if not text:
        return None if spec.nullable or spec.required else spec.default if spec.kind == "names" else ""
    if spec.kind == "integer":
        return whole_number(text)
    if spec.kind == "number":
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text
    if spec.kind == "names":
        return text if text == "all-linear" else [part.strip() for part in text.split(",", _MOST) if part.strip()]
    return text


_CHOICE_WORDS = {"u_shape": "U-shape (u_shape)", "vanilla": "labels are sent (vanilla)"}


def _control(spec: FieldSpec, models: list[tuple[str, str]]) -> forms.Field:
    common: dict[str, Any] = {"label": spec.label, "help_text": spec.help, "required": False}
    css = {"choice": "form-select", "flag": "form-check-input"}.get(spec.kind, "form-control")
    css = "form-select" if spec.path == "model.name_or_path" else css
    element_id = "f-" + spec.path.replace(".", "-")
    attrs = {"id": element_id, "class": css, "aria-describedby": f"{element_id}-help"}
    if spec.path == "model.name_or_path":
        return forms.ChoiceField(choices=models, widget=forms.Select(attrs=attrs), **common)
    if spec.kind == "choice":
        return forms.ChoiceField(
            choices=[*([("", "none")] if spec.nullable else []), *((v, _CHOICE_WORDS.get(v, v)) for v in spec.choices)],
            widget=forms.Select(attrs=attrs),
            **common,
        )
    if spec.kind == "flag":
        return forms.BooleanField(widget=forms.CheckboxInput(attrs=attrs), **common)
    mode = {"integer": "numeric", "number": "decimal"}.get(spec.kind, "text")
    placeholder = "" if spec.default is None else str(to_text(spec, spec.default))
    attrs |= {"inputmode": mode, "autocomplete": "off", "placeholder": placeholder}
    return forms.CharField(widget=forms.TextInput(attrs=attrs), **common)


class ConfigForm(forms.Form):
    """RunConfig as a form. Field names are the dotted paths; `typed()` is the nested configuration as it stands."""

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        config: Mapping[str, Any],
        models: list[tuple[str, str]],
        parties: Sequence[DataParty] = (),
    ) -> None:
        self.stored = dict(config)
        self.parties = list(parties)
        self.overrides = Overrides(data, self.stored.get("parties"), parties)
        initial = {s.path: to_text(s, value_at(config, s)) for s in field_specs()}
        super().__init__(data=data, initial=initial)  # type: ignore[arg-type]
        for spec in field_specs():
            self.fields[spec.path] = _control(spec, models)
        self.problems: dict[str, str] = {}
        self.mends: dict[str, str] = {}
        self.overrides.inherit({path: str(self[path].value() or "") for path in INHERITED.values()})

    def typed(self) -> dict[str, Any]:
        """The configuration as typed (bound) or as stored; defaults that were not touched are left out."""
        if not self.is_bound:
            return self.stored
        own = self.overrides.typed()
        config: dict[str, Any] = {"parties": own} if own else {}
        for spec in field_specs():
            if spec.kind != "flag" and spec.path not in self.data:
                value = value_at(self.stored, spec)
            else:
                value = from_text(spec, self.data.get(spec.path))
            if value != spec.default or spec.required:
                put_at(config, spec, value)
        return config

    def check(self) -> RunConfig | None:
        """Validate by RunConfig itself; the problems stand in `problems` by path ("" for the whole)."""
        try:
            config = RunConfig.parse(self.typed())
        except AppError as error:
            self.take_problems(error.details.get("fields", [{"field": "", "message": error.message}]))
            return None
        self.take_problems(override_problems(config, [one.party for one in self.parties]))
        return config

    def take_problems(self, problems: Iterable[Mapping[str, str]]) -> None:
        """Put messages beside their fields; what has no field of its own stands for the whole."""
        for item in problems:
            message = readable(item["message"])
            if item["field"].startswith("parties.") and self.overrides.place_problem(item["field"], message):
                self.problems.setdefault(item["field"], message)
            else:
                self.problems.setdefault(self._place(item["field"], item["message"]), message)

    def take_conflict(self, path: str, message: str, mend: str) -> None:
        """Put what a site's policy refuses beside its field, unless that has a problem of its own."""
        if path not in self.problems:
            self.problems[path], self.mends[path] = message, mend

    def _place(self, field: str, message: str = "") -> str:
        """The field that a problem belongs to: its own, else the first one of its section that the message names."""
        parts = field.split(".")
        own = spec_at(field)
        named = [
            spec_at(path)
            for word in re.findall(r"[a-z_]+(?:\.[a-z_]+)?", message)
            for path in (word, f"{field}.{word}", f"{parts[0]}.{word}")
        ]
        missing = next((s for s in field_specs() if s.section == field and s.required), None)  # of a whole section
        above = [spec_at(".".join(parts[:count])) for count in range(len(parts) - 1, 0, -1)]
        return next((spec.path for spec in (own, missing, *named, *above) if spec is not None), "")

    def sections(self) -> Iterator[FormSection]:
        """The form in sections, each field with its state."""
        changed = set(changed_paths(self.typed()))
        drawn = {
            spec.path: FormField(
                spec,
                self[spec.path],
                spec.path in changed,
                self.problems.get(spec.path, ""),
                self.mends.get(spec.path, ""),
                hidden=bool(spec.within) and not self._is_chosen(spec),
            )
            for spec in field_specs()
        }
        for key, (title, text) in SECTIONS.items():
            groups = [FormGroup(heading, [drawn[spec.path] for spec in members]) for heading, members in grouped(key)]
            yield FormSection(key, title, text, groups)

    def _is_chosen(self, spec: FieldSpec) -> bool:
        """Whether the strategy is chosen that a field belongs to."""
        value = self[spec.within].value()
        return bool(value) if spec.listed else str(value or "") in spec.members

    def listed(self) -> list[Problem]:
        """Every problem with the name of its field, as the summary shows them."""
        labels = {spec.path: spec.label for spec in field_specs()}
        found = []
        for path, message in self.problems.items():
            if path in labels:
                found.append(Problem(f"{labels[path]}: {message}", "f-" + path.replace(".", "-")))
            elif (own := self.overrides.named(path)) is not None:
                found.append(Problem(f"{own[0]}: {message}", own[1]))
            else:
                found.append(Problem(message))
        return found

    def drawn(self) -> list[FormField]:
        """Every field, for the partial that refreshes the messages."""
        return [field for section in self.sections() for field in section.fields]


_WORDS = {
    "Input should be a valid integer, unable to parse string as an integer": "Enter a whole number.",
    "Input should be a valid number, unable to parse string as a number": "Enter a number.",
    "Field required": "This is required.",
    "Input should be a valid string": "This is required.",
}


def readable(message: str) -> str:
    """Pydantic's message as a sentence."""
    text = _WORDS.get(message, message.replace("Input should be", "This should be"))
    return text if text.endswith((".", "?", "!")) else f"{text}."


# What a draft of the REST API holds is bounded by its size alone; libyaml writes that many entries six times as fast.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def yaml_of(config: Mapping[str, Any]) -> str:
    """The configuration as YAML: complete where it is valid, as typed where it is not."""
    try:
        return RunConfig.parse(dict(config)).to_yaml()
    except AppError:
        return str(yaml.dump(dict(config), Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
