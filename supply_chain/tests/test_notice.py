"""The licence of Cutlayer, and the page of third parties' licences."""

from __future__ import annotations

import json
import tomllib
from email.message import Message
from pathlib import Path

import pytest

from supply_chain import notice
from supply_chain.lock import FOLDER, Pin, pins_of
from supply_chain.notice import UNKNOWN, Notice, front_end_notices, licence_of, python_notices


def stated(**fields: str | list[str]) -> Message:
    """A package's metadata."""
    message = Message()
    for name, value in fields.items():
        for one in [value] if isinstance(value, str) else value:
            message[name.replace("_", "-")] = one
    return message


def test_cutlayer_is_licensed_as_pyproject_says() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert {"LICENSE", notice.PAGE.name} == set(project["license-files"])
    assert Path("LICENSE").read_text().split()[:5] == ["Apache", "License", "Version", "2.0,", "January"]


def test_the_notice_is_what_the_packages_state() -> None:
    assert notice.PAGE.read_text(encoding="utf-8") == notice.page(), "run: make docs"


def test_every_pinned_package_has_its_row() -> None:
    rows = notice.rows_of(notice.PAGE.read_text(encoding="utf-8"))
    pins = {
        pin for name in ("lock.txt", "base-lock.txt", "node-lock.txt") for pin in pins_of((FOLDER / name).read_text())
    }
    front_end = {
        path.rpartition("node_modules/")[2] for path in json.loads(Path("package-lock.json").read_text())["packages"]
    }
    assert pins <= {Pin(one.name, one.version) for one in rows.values()}
    assert (front_end - {""}) | {"torch"} <= rows.keys()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "MIT OR Apache-2.0", "License": "BSD"}, "MIT OR Apache-2.0"),
        ({"License": "MPL-2.0 AND MIT", "Classifier": "License :: OSI Approved :: MIT License"}, "MPL-2.0 AND MIT"),
        ({"License": "Apache 2.0 License"}, "Apache-2.0"),
        ({"License": "BSD-3-Clause", "Classifier": "License :: OSI Approved :: BSD License"}, "BSD-3-Clause"),
        ({"License": "BSD", "Classifier": "License :: Other/Proprietary License"}, "BSD, Other/Proprietary License"),
        ({"License": "Dual License"}, UNKNOWN),
        ({"License": "Permission is hereby granted, free of charge"}, UNKNOWN),
        ({"Classifier": ["License :: DFSG approved", "License :: OSI Approved :: MIT License"]}, "MIT"),
        ({}, UNKNOWN),
    ],
)
def test_licence_is_what_the_metadata_states(fields: dict[str, str | list[str]], expected: str) -> None:
    assert licence_of(stated(**fields)) == expected


@pytest.mark.parametrize(
    ("licence", "unusual"),
    [
        ("MIT", False),
        ("Apache-2.0 OR GPL-3.0-only", False),
        ("BSD, Apache-2.0", False),
        ("MIT AND MPL-2.0", True),
        ("LGPL-3.0-only", True),
        ("BSD, Other/Proprietary License", True),
        (UNKNOWN, True),
    ],
)
def test_licence_that_may_ask_for_more_is_named(licence: str, unusual: bool) -> None:
    assert Notice("some-package", "1.0", licence).unusual is unusual


def test_package_of_another_platform_keeps_its_row_for_the_same_version_alone() -> None:
    pins = [Pin("not-installed-here", "1.0"), Pin("not-installed-either", "2.0"), Pin("pytest", "0.0.1")]
    standing = {name: Notice(name, "1.0", "MIT") for name in ("not-installed-here", "not-installed-either")}
    assert [one.licence for one in python_notices(pins, standing)] == ["MIT", UNKNOWN, UNKNOWN]


def test_front_end_package_of_a_package_is_named_by_its_own_name() -> None:
    lock = {"packages": {"": {}, "node_modules/a/node_modules/@b/c": {"version": "3"}, "node_modules/d": {"dev": True}}}
    assert list(front_end_notices(json.dumps(lock), of_tools=False)) == [Notice("@b/c", "3", UNKNOWN)]
