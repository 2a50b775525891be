"""Each page loads the stylesheets that its classes are in, and no stylesheet has a class that nothing uses."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
FOLDERS = (ROOT / "templates", ROOT / "workers" / "console" / "templates")
CSS, HEAD = ROOT / "static" / "css", "components/head.html"
COMMENT, CLASS = re.compile(r"/\*.*?\*/", re.S), re.compile(r"\.(cl-[a-z0-9-]+)")
RULED_ID, ID = re.compile(r"^#([a-z-]+)", re.M), re.compile(r'id="([a-z-]+)"')
LINK, WORD = re.compile(r"'css/([a-z_]+\.css)'"), re.compile(r"(?<![a-z0-9-])cl-[a-z0-9-]+")
PART, TAG = re.compile(r"\{% *(?:include|extends) *\"([^\"]+)\""), re.compile(r"\{% *(\w+)")


def template(name: str) -> str:
    """The text of a template."""
    return next(path.read_text() for folder in FOLDERS if (path := folder / name).exists())


@cache
def parts(name: str) -> frozenset[str]:
    """A template with all that it includes or extends, and the components that it draws."""
    text, found = template(name), {name}
    drawn = {f"components/{tag}.html" for tag in TAG.findall(text)} - {name}
    for part in (*PART.findall(text), *(one for one in drawn if (FOLDERS[0] / one).exists())):
        found |= parts(part)
    return frozenset(found)


def pages() -> list[str]:
    """The templates that are whole pages: they extend another one and nothing includes them."""
    names = [str(path.relative_to(folder)) for folder in FOLDERS for path in folder.rglob("*.html")]
    included = {part for name in names for part in PART.findall(template(name))}
    return sorted(name for name in names if "{% extends" in template(name) and name not in included)


@cache
def classes_of(sheet: str) -> frozenset[str]:
    """The classes that a stylesheet has rules for."""
    return frozenset(CLASS.findall(COMMENT.sub("", (CSS / sheet).read_text())))


def sheets() -> list[str]:
    """The names of all stylesheets."""
    return sorted(path.name for path in CSS.glob("*.css"))


@pytest.mark.parametrize("page", pages())
def test_a_page_loads_the_stylesheets_of_its_classes(page: str) -> None:
    text = "".join(template(name) for name in parts(page))
    loaded = {*LINK.findall(text), *LINK.findall(template(HEAD))}
    at_hand = frozenset().union(*(classes_of(name) for name in loaded))
    elsewhere = frozenset().union(*(classes_of(name) for name in sheets())) - at_hand
    assert sorted(set(WORD.findall(text)) & elsewhere) == []


@pytest.mark.parametrize("page", pages())
def test_a_page_loads_no_stylesheet_in_vain(page: str) -> None:
    text = "".join(template(name) for name in parts(page))
    own = {name for name in LINK.findall(text) if name not in LINK.findall(template(HEAD))}
    used = {*WORD.findall(text), *ID.findall(text)}
    ruled = {name: {*classes_of(name), *RULED_ID.findall((CSS / name).read_text())} for name in own}
    assert [name for name in sorted(own) if not ruled[name] & used] == []


def test_every_class_of_a_stylesheet_is_used() -> None:
    files = [path for folder in FOLDERS for path in folder.rglob("*.html")]
    files += [*(ROOT / "static" / "js").glob("*.js"), *(ROOT / "interface").glob("*.py")]
    files += [*(ROOT / "webapp").rglob("*.py")]
    text = "".join(path.read_text() for path in files)
    built = tuple(set(re.findall(r"(cl-[a-z-]+-)(?=\{|\$|\")", text)))  # such as cl-chip-{{ tone }}
    used = set(WORD.findall(text))
    dead = {name for sheet in sheets() for name in classes_of(sheet)} - used
    assert sorted(name for name in dead if not name.startswith(built)) == []
