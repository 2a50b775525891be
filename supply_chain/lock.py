"""Write the lock files: every package at one version, with the hash of every file that the index lists for it.

`make lock` runs it. Which index that is, its certificates and its proxy are pip's own settings, so the index is asked
through pip's own client. All files of a version are pinned, since another machine takes another wheel, or the sources.

torch is left out: its builds differ by machine, so it is installed first, by the version in base.in (see the Makefile).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

FOLDER = Path("requirements")
LOCKS = {
    "lock.txt": "dev.in",
    "base-lock.txt": "base.in",
    "node-lock.txt": "node.in",
    "real-model-lock.txt": "real-model.in",
}
ALONE = {"real-model-lock.txt"}  # without what they depend on
LEFT_OUT = re.compile(r"(torch|nvidia-.*|cuda-.*|triton|pip)")  # torch, what only its own build needs, and pip itself
HEAD = "# Written by `make lock` from {source}. Do not edit by hand: add the package to {source}, then `make lock`.\n"
SIMPLE = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"

Get = Callable[[str], Any]  # answers an address with a response of pip's client


@dataclass(frozen=True)
class Pin:
    """One package at one version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def normal(name: str) -> str:
    """A package's name as an index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins_of(text: str) -> list[Pin]:
    """The pins of a lock file."""
    return [Pin(normal(name), version) for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)]


def hashes_of(text: str) -> dict[str, list[str]]:
    """The hashes of each pin of a lock file, by `name==version`."""
    found: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", text):
        for pin in pins_of(entry):
            found[str(pin)] = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry)
    return found


def resolve(source: Path, kept: list[Pin], *, alone: bool = False) -> list[Pin]:
    """What pip would install for a list of requirements, `kept` held at their versions. Installs nothing.

    alone: without what they depend on.
    """
    with tempfile.TemporaryDirectory() as folder:
        constraints, report = Path(folder) / "constraints.txt", Path(folder) / "report.json"
        constraints.write_text("".join(f"{pin}\n" for pin in kept))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        if alone:
            command.append("--no-deps")
        subprocess.run([*command, "--report", report, "-c", constraints, "-r", source], check=True)
        entries = json.loads(report.read_text())["install"]
    pins = [Pin(normal(one["metadata"]["name"]), one["metadata"]["version"]) for one in entries]
    return sorted((pin for pin in pins if not LEFT_OUT.fullmatch(pin.name)), key=lambda pin: pin.name)


def hashes(pin: Pin, indexes: list[str], get: Get) -> list[str]:
    """The hash of every file of one version, from the first index that lists it."""
    for index in indexes:
        answer = get(urljoin(index.rstrip("/") + "/", f"{pin.name}/"))
        if answer.status_code == 404:
            continue
        answer.raise_for_status()
        found = {digest for name, digest in _files(answer) if digest and version_of(name, pin.name) == pin.version}
        if found:
            return sorted(found)
    raise SystemExit(f"No index lists a file with a hash for {pin}.")


def version_of(file: str, name: str) -> str | None:
    """The version in a file's name, wheel or sources; None for another kind of file, or one of another package."""
    if file.endswith(".whl"):
        parts = file.removesuffix(".whl").split("-")
        return parts[1] if len(parts) >= 5 and normal(parts[0]) == name else None
    for ending in (".tar.gz", ".zip", ".tar.bz2"):
        stem, dash, version = file.removesuffix(ending).rpartition("-")
        if file.endswith(ending) and dash and normal(stem) == name:
            return version
    return None


def _files(answer: Any) -> Iterator[tuple[str, str]]:
    """(file name, SHA-256) of each file on a package's page, as JSON (PEP 691) or HTML (PEP 503)."""
    if "json" in answer.headers.get("Content-Type", ""):
        for file in answer.json()["files"]:
            yield file["filename"], file["hashes"].get("sha256", "")
        return
    links = _Links()
    links.feed(answer.text)
    for target in links.targets:
        address, fragment = urldefrag(target)
        yield address.rsplit("/", 1)[-1], fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.targets.extend(value for key, value in attrs if key == "href" and value)


def entry(pin: Pin, digests: list[str]) -> str:
    """One pin with its hashes, as pip reads it."""
    return " \\\n".join([str(pin), *(f"    --hash=sha256:{digest}" for digest in digests)]) + "\n"


def write(name: str, kept: list[Pin], indexes: list[str], get: Get) -> list[Pin]:
    """Resolve one list of requirements and write its lock file."""
    pins = resolve(FOLDER / LOCKS[name], kept, alone=name in ALONE)
    body = "".join(entry(pin, hashes(pin, indexes, get)) for pin in pins)
    (FOLDER / name).write_text(HEAD.format(source=LOCKS[name]) + body)
    print(f"{FOLDER / name}: {len(pins)} packages")
    return pins


def main() -> None:
    """Write the lock files; `--keep` changes no pin that stands, and adds what is new."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--keep", action="store_true", help="keep the versions that are pinned, add what is new")
    keep = parser.parse_args().keep
    with _pip() as (indexes, get):
        for name in LOCKS:
            # The image runs the versions that were tested.
            standing = FOLDER / ("lock.txt" if name == "base-lock.txt" else name)
            kept = pins_of(standing.read_text()) if name == "base-lock.txt" or (keep and standing.exists()) else []
            write(name, kept, indexes, get)


@contextmanager
def _pip() -> Iterator[tuple[list[str], Get]]:
    """The indexes that pip is set to, and its client."""
    from pip._internal.commands import create_command

    command: Any = create_command("download")
    options, _ = command.parse_args(["anything"])
    with command.main_context():
        session = command.get_default_session(options)
        yield (
            [options.index_url, *options.extra_index_urls],
            lambda address: session.get(address, headers={"Accept": SIMPLE}, timeout=30),
        )


if __name__ == "__main__":
    main()
