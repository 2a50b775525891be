"""What configurations are made of: sections of fields, and choices between strategies. Torch-free.

A strategy is a section with a name of its own. Where nothing but the name is set, the name alone is its short form, in
both directions: `activations: int8` is `activations: {name: int8, rounding: nearest}`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema


class Section(BaseModel):
    """A group of fields. Unknown keys are errors that name the nearest field."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def suggest_for_unknown_keys(cls, data: Any) -> Any:
        """Turn `extra_forbidden` into a sentence with a suggestion."""
        if not isinstance(data, dict):
            return data
        for key in data:
            if key not in cls.model_fields:
                raise ValueError(f"Unknown key '{key}'.{_hint(key, cls.model_fields, 'keys')}")
        return data


FULL = {"full": True}


class Strategy(Section):
    """One of several ways to do the same thing. Its `name` is a Literal: its own name, or those of its family."""

    name: str

    @model_serializer(mode="wrap")
    def in_short(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        """The name alone where nothing else differs from its default; else with what does.

        With the context FULL every field, for readers whose defaults may be others.
        """
        if info.context == FULL:
            return {name: getattr(self, name) for name in type(self).model_fields}
        options = self.options()
        return {"name": self.name, **options} if options else self.name

    def options(self) -> dict[str, Any]:
        """The fields that differ from their defaults, the name aside."""
        fields = {name: field.default for name, field in type(self).model_fields.items() if name != "name"}
        return {name: value for name, default in fields.items() if (value := getattr(self, name)) != default}

    def __str__(self) -> str:
        """In words: `int8 (rounding stochastic)`."""
        options = ", ".join(f"{name} {value}" for name, value in self.options().items())
        return f"{self.name} ({options})" if options else self.name


def names_of(strategy: type[Strategy]) -> tuple[str, ...]:
    """The names that choose a strategy: most have one, a family several."""
    return get_args(strategy.model_fields["name"].annotation)


class OneOf:
    """Marks the type of a field, `Annotated[Codec, OneOf(CODECS, kind="codec")]`: one of these strategies, by its name.

    Its value is the name alone, or a mapping with `name`.
    """

    def __init__(
        self, strategies: Sequence[type[Strategy]], *, kind: str, older: Callable[[Any], Any] = lambda data: data
    ) -> None:
        """`kind` names what is chosen, in messages. `older` reads a form that is no longer written."""
        self._by_name = {name: strategy for strategy in strategies for name in names_of(strategy)}
        self._union, self._kind, self._older = reduce(or_, strategies), kind, older

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The strategies as a union that is told by the name."""
        union: Any = Annotated[self._union, Field(discriminator="name")]
        return core_schema.no_info_before_validator_function(self._in_full, handler.generate_schema(union))

    def _in_full(self, data: Any) -> Any:
        """A mapping with a known name. Raises ValueError."""
        data = self._older(data)
        if isinstance(data, str):
            data = {"name": data}
        name = data.get("name") if isinstance(data, dict) else getattr(data, "name", None)
        if not isinstance(name, str):
            raise ValueError(f"Name a {self._kind}: {', '.join(self._by_name)}.")
        if name not in self._by_name:
            raise ValueError(f"Unknown {self._kind} '{name}'.{_hint(name, self._by_name, 'names')}")
        for key in data if isinstance(data, dict) else ():
            self._check_key(key, name)
        return data

    def _check_key(self, key: object, name: str) -> None:
        """Tell a key of another strategy from a misspelt one. Raises ValueError."""
        owners = [other for other, strategy in self._by_name.items() if key in strategy.model_fields]
        if owners and name not in owners:
            raise ValueError(f"'{key}' isn't a field of the {self._kind} {name}. It belongs to {', '.join(owners)}.")


class SomeOf:
    """Marks the type of a list, `Annotated[list[Defence], SomeOf(DEFENCES, kind="defence")]`: each at most once.

    They stand in the registry's order, whatever the order in which they were named.
    """

    def __init__(self, strategies: Sequence[type[Strategy]], *, kind: str) -> None:
        self._strategies, self._kind = strategies, kind
        self._order = [name for strategy in strategies for name in names_of(strategy)]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A list of the strategies."""
        item: Any = Annotated[Strategy, OneOf(self._strategies, kind=self._kind)] if self._strategies else Strategy
        bounded: Any = Annotated[list[item], Field(max_length=2 * len(self._order))]  # twins are told as such
        return core_schema.no_info_after_validator_function(self._in_order, handler.generate_schema(bounded))

    def _in_order(self, chosen: list[Strategy]) -> list[Strategy]:
        """Each once, in the order of the registry. Raises ValueError."""
        names = [one.name for one in chosen]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"The {self._kind} {twice[0]} appears twice.")
        return sorted(chosen, key=lambda one: self._order.index(one.name))


def _hint(given: object, known: Iterable[str], what: str) -> str:
    near = difflib.get_close_matches(str(given), list(known), n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else f" Known {what}: {', '.join(known)}."


def ui(*, unit: str = "", level: str = "simple", label: str = "", why: str = "") -> dict[str, Any]:
    """What a form needs beside type, bounds and help: unit, level (simple|advanced), label, and a consequence."""
    return {"unit": unit, "level": level, "label": label, "why": why}
