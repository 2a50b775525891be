"""Write THIRD-PARTY-NOTICES.md: every pinned package with the licence that its own metadata states.

`make docs` runs it. Python packages are read as installed here, front-end packages from package-lock.json. A package
that this machine lacks (another platform's) keeps the row that it has. Each package's licence text comes with the
package; none is copied into this repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import cast

from supply_chain.lock import FOLDER, Pin, normal, pins_of

PAGE = Path("THIRD-PARTY-NOTICES.md")
UNKNOWN = "unknown"
HEAD = """# Third-party notices

<!-- Written by `make docs` from the lock files and the packages' metadata. A test compares them. -->

Cutlayer itself is licensed under the [Apache License 2.0](LICENSE). It installs the packages below, each under its own
licence, and changes none of them. A Python package's licence text is in its `*.dist-info` folder in
`.venv/lib/python3.*/site-packages`, a front-end package's in its folder in `node_modules`.

The licence is the one that the package's metadata states. "BSD" alone means that the metadata does not say which BSD
licence it is; the package's licence text does. Names with commas between them are all that the metadata states, where
it does not say whether each applies or one may be chosen.
"""
# Licences that ask for no more than keeping their notice.
PERMISSIVE = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BlueOak-1.0.0",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-0",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
}
NO_LICENCE = "DFSG approved"  # a classifier that speaks of a licence without naming one
# What packages without a licence expression call their licence.
NAMES = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache2": "Apache-2.0",
    "BSD License": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "New BSD": "BSD-3-Clause",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
JOINED = re.compile(r" (?:AND|OR) ")


@dataclass(frozen=True)
class Notice:
    """One package and its licence."""

    name: str
    version: str
    licence: str

    @property
    def row(self) -> str:
        """Its line in a table."""
        return f"| {self.name} | {self.version} | {self.licence} |"

    @property
    def unusual(self) -> bool:
        """Whether the licence is unknown, or may ask for more than keeping its notice."""
        return not all(
            any(one.strip("()") in PERMISSIVE for one in part.split(" OR "))
            for part in re.split(r" AND |, ", self.licence)
        )


def licence_of(stated: Message) -> str:
    """The licence as an expression, or every name of one that the metadata states, or `unknown`."""
    if expression := stated.get("License-Expression"):
        return expression
    written = (stated.get("License") or "").strip()
    if JOINED.search(written) and _is_name(written):
        return written
    classifiers = [one.rsplit(" :: ", 1)[-1] for one in stated.get_all("Classifier") or [] if "License ::" in one]
    # The field may hold the whole text, or words such as "Dual License": it counts where it is a licence's name.
    written = NAMES.get(written, written)
    found = [written] if _is_name(written) else []
    found += [NAMES.get(one, one) for one in classifiers if one != NO_LICENCE]
    if any(one.startswith("BSD-") for one in found):
        found = [one for one in found if one != "BSD"]
    return ", ".join(dict.fromkeys(found)) or UNKNOWN


def _is_name(text: str) -> bool:
    """Whether a text is the short name of a licence, or several of them joined."""
    return all(one in PERMISSIVE or re.fullmatch(r"[\w.]+-[\d.]+(-\w+)*", one) for one in JOINED.split(text))


def python_notices(pins: Iterable[Pin], standing: dict[str, Notice]) -> Iterator[Notice]:
    """A notice per Python package: as installed here, or else as it stands in the page for the same version."""
    for pin in pins:
        try:
            stated: Message | None = cast(Message, metadata(pin.name))
        except PackageNotFoundError:
            stated = None
        if stated is not None and stated["Version"].partition("+")[0] == pin.version:
            yield Notice(pin.name, pin.version, licence_of(stated))
        elif (kept := standing.get(pin.name)) and kept.version == pin.version:
            yield kept
        else:
            yield Notice(pin.name, pin.version, UNKNOWN)


def front_end_notices(lock: str, *, of_tools: bool) -> Iterator[Notice]:
    """A notice per front-end package of package-lock.json: those that pages load, or those that only tests run."""
    for path, entry in json.loads(lock)["packages"].items():
        if path and bool(entry.get("dev")) is of_tools:
            name = path.rpartition("node_modules/")[2]
            yield Notice(name, entry["version"], entry.get("license", UNKNOWN))


def rows_of(text: str) -> dict[str, Notice]:
    """The notices that a page holds, by package."""
    found = re.findall(r"^\| (\S+) \| (\d\S*) \| (.+) \|$", text, flags=re.MULTILINE)
    return {name: Notice(name, version, licence) for name, version, licence in found}


def sections() -> dict[str, list[Notice]]:
    """The notices by where their packages run."""
    standing = rows_of(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    torch = [Pin("torch", version) for version in re.findall(r"^torch==(\S+)", (FOLDER / "base.in").read_text(), re.M)]
    base, everything, node = (
        pins_of((FOLDER / f"{name}.txt").read_text()) for name in ("base-lock", "lock", "node-lock")
    )
    product = sorted([*base, *torch], key=lambda pin: normal(pin.name))
    tools = [pin for pin in everything if pin not in set(base)] + node
    lock = Path("package-lock.json").read_text(encoding="utf-8")
    return {
        "Python packages": list(python_notices(product, standing)),
        "Front-end packages": list(front_end_notices(lock, of_tools=False)),
        "Tools of development": list(python_notices(tools, standing)),
        "Front-end tools of development": list(front_end_notices(lock, of_tools=True)),
    }


def page() -> str:
    """The whole page, ending with a newline."""
    parts, found = [HEAD], sections()
    unusual = [(heading, one) for heading, notices in found.items() for one in notices if one.unusual]
    parts.append(
        "## Licences to look at\n\n"
        "These may ask for more than keeping their notice, or the metadata does not state a licence that is known.\n\n"
        + _table("package | version | licence | where", (f"{one.row} {heading} |" for heading, one in unusual))
    )
    parts.append(
        "A build of PyTorch for NVIDIA GPUs also installs NVIDIA's libraries (`nvidia-*`, `cuda-*`), which are under\n"
        "NVIDIA's own licences and are not pinned here.\n"
    )
    for heading, notices in found.items():
        parts.append(f"## {heading}\n\n" + _table("package | version | licence", (one.row for one in notices)))
    return "\n".join(parts)


def _table(head: str, rows: Iterable[str]) -> str:
    columns = head.count("|") + 1
    return "\n".join([f"| {head} |", "|" + " --- |" * columns, *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
