"""YAML from elsewhere, read as JSON would be: plain values, bounded before anything is built of them. No torch.

No tags but the plain ones, no key twice, no merge keys, no numbers to the base of sixty and no dates: of 450 bytes of
merge keys grow millions of entries, and what a tag's constructor raises is of any class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from splitcore.bounds import JSON_DEPTH, JSON_NODES, plain

if TYPE_CHECKING:
    Base = yaml.SafeLoader
else:
    Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

YAML_CHARACTERS = 64 * 1024
_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map")) | {"!"}
_RESOLVED = {  # as YAML 1.1 has them, less what is to the base of sixty
    "bool": (r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    "float": (
        r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    "int": (r"[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+", "-+0123456789"),
    "null": (r"~|null|Null|NULL|", "~nN"),
}


# What the parser says of the commonest slips, in words for somebody who does not know YAML's grammar.
_WORDS = (
    (
        "mapping values are not allowed",
        "a colon isn't expected here. Check the indentation, and put quotes around a value that contains ': '",
    ),
    (
        "cannot start any token",
        "no value can begin with this character. Indent with spaces, not tabs, or quote the value",
    ),
    ("expected ',' or ']'", "a list that began with [ isn't closed"),
    ("expected ',' or '}'", "a group of fields that began with { isn't closed"),
    ("unexpected end of stream", "a quoted text isn't closed"),
    ("but found another document", "only one document is taken, so --- can't come twice"),
    ("undefined alias", "this name (*) refers to nothing. Quote a value that begins with *"),
    ("expected '<document start>'", "this line is indented less than the first one"),
    ("expected <document start>", "this line is indented less than the first one"),
    ("did not find expected key", "a field isn't expected here. Check the indentation"),
    ("could not find expected ':'", "a colon is missing after a field's name"),
    ("did not find expected node content", "a value is missing here"),
)


class PlainYamlError(ValueError):
    """Why a text is not taken, with its line and column where they are known."""


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {"": [(f"{_TAG}null", re.compile("^$"))]}
    for name, (pattern, firsts) in _RESOLVED.items():
        for first in firsts:
            found.setdefault(first, []).append((_TAG + name, re.compile(f"^(?:{pattern})$")))
    return found


class Plain:
    """Builds plain values; whatever a value raises while it is built is an error of the text, at its place."""

    yaml_implicit_resolvers: ClassVar[Any] = _resolvers()

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """A node's value."""
        try:
            return super().construct_object(node, deep=deep)  # type: ignore[misc]
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise yaml.MarkedYAMLError(None, None, "this value has the wrong type", node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping, each key once: of a second one nobody could tell which was meant."""
        found = super().construct_mapping(node, deep=deep)  # type: ignore[misc]
        if len(found) < len(node.value):
            raise yaml.MarkedYAMLError(None, None, "this key appears twice", self._second(node).start_mark)
        return found

    def _second(self, node: Any) -> Any:
        """The first key of a mapping that equals an earlier one."""
        keys: set[Any] = set()
        for node_of_key, _ in node.value:
            if (key := self.construct_object(node_of_key, deep=True)) in keys:
                return node_of_key
            keys.add(key)
        return node


class _Loader(Plain, Base):
    """The loader, in C where PyYAML has it."""


def yaml_read(text: str) -> Any:
    """The one document of a text. Raises PlainYamlError, and nothing else."""
    if len(text) > YAML_CHARACTERS:
        raise PlainYamlError(f"it has more than {YAML_CHARACTERS} characters")
    try:
        _check(_events(text))
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise PlainYamlError(_sentence(error, text)) from None
    except (UnicodeError, RecursionError) as error:
        raise PlainYamlError(f"it can't be read ({type(error).__name__})") from None


def _events(text: str) -> Iterator[Any]:
    loader = _Loader(text)
    try:
        while loader.check_event():  # type: ignore[no-untyped-call]
            yield loader.get_event()  # type: ignore[no-untyped-call]
    finally:
        loader.dispose()


def _check(events: Iterator[Any]) -> None:
    """Bounds of depth and number, and the tags, while the text is parsed: nothing has been built yet."""
    depth = nodes = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > JSON_DEPTH:
            raise yaml.MarkedYAMLError(None, None, "it is nested too deeply", event.start_mark)
        if nodes > JSON_NODES:
            raise yaml.MarkedYAMLError(None, None, "it has too many entries", event.start_mark)
        if (tag := getattr(event, "tag", None)) is not None and tag not in _TAGS:
            raise yaml.MarkedYAMLError(None, None, "this tag isn't taken here", event.start_mark)


def _sentence(error: yaml.YAMLError, text: str) -> str:
    """What is wrong, and where."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        problem = str(getattr(error, "problem", None) or "this cannot be read")
        what = next((words for found, words in _WORDS if found in problem), problem)
        return plain(f"line {mark.line + 1}, column {mark.column + 1}: {what}")
    position = getattr(error, "position", None)
    if isinstance(position, int):
        before = text[:position]
        line, column = before.count("\n") + 1, position - before.rfind("\n")
        return f"line {line}, column {column}: a character that YAML doesn't allow"
    return "it cannot be read"
