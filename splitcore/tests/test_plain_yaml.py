"""YAML from elsewhere: read as plain values, refused with its place, and never of a size that takes seconds."""

from __future__ import annotations

import re
import time

import pytest
import yaml

from splitcore import plain_yaml
from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.plain_yaml import PlainYamlError, yaml_read


def _merges(levels: int) -> str:
    lines = ["x: &a0 {" + ", ".join(f"k{i}: {i}" for i in range(8)) + "}"]
    for level in range(1, levels + 1):
        lines.append(f"x{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}")
    return "\n".join(lines)


REFUSED = {  # text, and whether the error has a place (None: in one loader)
    "bool": ("a: !!bool foo", True),
    "empty int": ("a: !!int ''", True),
    "int sign": ("a: !!int '+'", True),
    "empty float": ("a: !!float ''", True),
    "float sign": ("a: !!float '-'", True),
    "timestamp": ("a: !!timestamp foo", True),
    "binary": ("a: !!binary ':::'", True),
    "set": ("a: !!set {x, y}", True),
    "omap": ("a: !!omap [x: 1]", True),
    "merge tag": ("a: &b {}\nc: {!!merge x: *b}", True),
    "program": ("a: !!python/object/apply:os.system ['true']", True),
    "own tag": ("a: !mine 1", True),
    "huge integer": ("a: " + "9" * 5000, True),
    "empty hexadecimal": ("a: 0x_", True),
    "empty binary": ("a: 0b_", True),
    "open brackets": ("[" * 20_000, True),
    "closed brackets": ("[" * 5000 + "]" * 5000, True),
    "nested mappings": ("{a: " * 3000, True),
    "unhashable key": ("? [1]\n: 2", True),
    "key of itself": ("? &a [*a]\n: 1", True),
    "key twice": ("a: 1\nb: {c: 1, 'c': 2}", True),
    "equal keys": ("1: a\n1.0: b", True),
    "NUL": ("b: 1\na: \x00", True),
    "half character": ("a: \ud800", None),
    "two documents": ("a: 1\n---\nb: 2", True),
    "unclosed": ("a: [1", True),
    "many entries": ("[" + "1," * 21_000 + "]", True),
    "long": ("a: " + "x" * 70_000, False),
}


@pytest.fixture(params=["C", "Python"])
def _loader(request, monkeypatch):
    """Both loaders of PyYAML: a machine may lack the one in C."""
    if request.param == "Python":
        Loader = type("Loader", (plain_yaml.Plain, yaml.SafeLoader), {})
        monkeypatch.setattr(plain_yaml, "_Loader", Loader)


@pytest.mark.usefixtures("_loader")
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_no_plain_yaml_is_refused_with_its_place_and_at_once(name):
    text, placed = REFUSED[name]
    begun = time.process_time()
    with pytest.raises(PlainYamlError) as caught:
        yaml_read(text)
    assert time.process_time() - begun < 2
    assert placed in (None, bool(re.match(r"line \d+, column \d+: ", str(caught.value))))
    with pytest.raises(AppError) as told:
        RunConfig.from_yaml(text)
    assert told.value.code == "CL-1001"
    assert str(caught.value) in told.value.message


def test_the_place_is_that_of_the_mistake():
    with pytest.raises(PlainYamlError, match=r"^line 3, column 9: "):
        yaml_read("model:\n  a: 1\n  rank: !!int ''\n")
    with pytest.raises(PlainYamlError, match=r"^line 3, column 1: this key appears twice"):
        yaml_read("a: 1\nb: 2\na: 3\nb: 4\n")
    with pytest.raises(PlainYamlError, match=r"^line 2, column 4: "):
        yaml_read("b: 1\na: \x00")


@pytest.mark.usefixtures("_loader")
def test_merge_keys_grow_nothing():
    text = _merges(7)
    assert len(text) < 600
    begun = time.process_time()
    with pytest.raises(AppError, match="too many entries"):
        RunConfig.from_yaml(text)
    assert time.process_time() - begun < 1
    assert yaml_read("a: &a {x: 1}\nb: {<<: *a}") == {"a": {"x": 1}, "b": {"<<": {"x": 1}}}


@pytest.mark.usefixtures("_loader")
def test_plain_values_are_read_as_before():
    text = "{a: 1, b: 1.5, c: yes, d: ~, e: text, f: [0x1f, 0b11, 010, 1_000], g: {h: !!str 5}, i: .5, j: '1', k: }"
    assert yaml_read(text) == yaml.safe_load(text)
    assert yaml_read("") is None
    assert yaml_read("- &a [1]\n- *a") == [[1], [1]]


@pytest.mark.usefixtures("_loader")
def test_numbers_to_the_base_of_sixty_and_dates_stay_texts():
    for text in (":".join(["1"] * 400) + ".0", "1:30", "2001-99-99", "2001-01-01T00:00:00+99:99", "="):
        assert yaml_read(f"a: {text}") == {"a": text}


def test_a_configuration_comes_back_from_its_yaml():
    config = RunConfig.parse({"model": {"name_or_path": "acme/tiny"}, "training": {"learning_rate": 1e-5}})
    assert RunConfig.from_yaml(config.to_yaml()) == config


@pytest.mark.usefixtures("_loader")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: a: b", "a colon isn't expected here"),
        ("model:\n\tname: x", "Indent with spaces, not tabs"),
        ("model: @x", "quote the value"),
        ("model: [a", "a list that began with [ isn't closed"),
        ("model: {a: 1", "a group of fields that began with { isn't closed"),
        ("model: 'x", "a quoted text isn't closed"),
        ("a: 1\n---\nb: 2", "only one document is taken"),
        ("model: *b", "this name (*) refers to nothing"),
        (" model: x\nlora: 1", "this line is indented less than the first one"),
    ],
)
def test_a_common_slip_is_told_in_words_for_people(text, words):
    with pytest.raises(AppError) as told:
        RunConfig.from_yaml(text)
    assert words in told.value.message
    assert told.value.remedy == "Correct the text at this place."


@pytest.mark.parametrize("text", ["hello", "- a", "model: x", "model: {name_or_path: x}\nlora:"])
def test_a_value_where_fields_are_expected_is_told_without_names_of_classes(text):
    with pytest.raises(AppError) as told:
        RunConfig.from_yaml(text)
    assert "Fields are expected here" in told.value.message
    assert "Section" not in told.value.message
