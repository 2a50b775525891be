"""The lock files: whole, hashed, and of the same versions as the requirements ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from supply_chain.lock import FOLDER, LOCKS, Pin, hashes, hashes_of, normal, pins_of, version_of


@pytest.mark.promise(40, figure="every package but torch")
@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash(name: str) -> None:
    found = hashes_of((FOLDER / name).read_text())
    assert len(found) == len(pins_of((FOLDER / name).read_text())) > 0
    assert [pin for pin, digests in found.items() if not digests] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_as_it_asks(name: str) -> None:
    source = (FOLDER / LOCKS[name]).read_text().replace("-r base.in", (FOLDER / "base.in").read_text())
    asked = [Requirement(line) for line in source.splitlines() if line and not line.startswith("#")]
    pinned = {pin.name: pin.version for pin in pins_of((FOLDER / name).read_text())}
    missing = [str(one) for one in asked if normal(one.name) != "torch" and normal(one.name) not in pinned]
    assert missing == []
    wrong = [one for one in asked if normal(one.name) in pinned and pinned[normal(one.name)] not in one.specifier]
    assert wrong == []


def test_torch_is_pinned_by_its_version_alone_and_drags_nothing_into_the_lock() -> None:
    names = {pin.name for name in LOCKS for pin in pins_of((FOLDER / name).read_text())}
    assert {name for name in names if name.startswith(("torch", "nvidia-", "cuda-", "triton"))} == set()
    assert sum(line.startswith("torch==") for line in (FOLDER / "base.in").read_text().splitlines()) == 1


def test_the_image_runs_the_tested_versions_without_the_test_tools() -> None:
    base, everything = (set(pins_of((FOLDER / name).read_text())) for name in ("base-lock.txt", "lock.txt"))
    assert base < everything
    assert {"pytest", "playwright", "schemathesis", "mypy", "hypothesis"}.isdisjoint({pin.name for pin in base})


@pytest.mark.promise(40)
def test_a_file_with_another_hash_is_refused_by_pip(tmp_path: Path) -> None:
    wheel = tmp_path / "spoiled-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not what was pinned")
    pinned = tmp_path / "lock.txt"
    pinned.write_text(f"spoiled==1.0 --hash=sha256:{'0' * 64}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "-r",
        str(pinned),
        "--no-index",
    ]
    done = subprocess.run([*command, "--find-links", str(tmp_path), "-d", str(tmp_path / "got")], capture_output=True)
    assert done.returncode != 0
    assert b"THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("file", "version"),
    [
        ("rouge_score-0.1.2-py3-none-any.whl", "0.1.2"),
        ("rouge_score-0.1.2.tar.gz", "0.1.2"),
        ("rouge-score-0.1.2.zip", "0.1.2"),
        ("rouge_score_more-0.1.2.tar.gz", None),
        ("rouge_score-0.1.2-1-py3-none-any.whl", "0.1.2"),
        ("rouge_score-0.1.2.exe", None),
    ],
)
def test_version_is_read_from_a_files_name(file: str, version: str | None) -> None:
    assert version_of(file, "rouge-score") == version


class Answer:
    """What pip's client answers, as far as it is read."""

    def __init__(self, status: int, kind: str = "", text: str = "") -> None:
        self.status_code, self.headers, self.text = status, {"Content-Type": kind}, text

    def json(self) -> Any:
        return json.loads(self.text)

    def raise_for_status(self) -> None:
        assert self.status_code < 400


def test_all_files_of_a_version_are_pinned_whichever_form_the_index_answers_in() -> None:
    one, two, other = ("a" * 64, "b" * 64, "c" * 64)
    files = [("x-1.0-py3-none-any.whl", two), ("x-1.0.tar.gz", one), ("x-1.0.1.tar.gz", other)]
    as_json = json.dumps({"files": [{"filename": name, "hashes": {"sha256": digest}} for name, digest in files]})
    as_html = "".join(f'<a href="../f/{name}#sha256={digest}">{name}</a>' for name, digest in files)
    for kind, text in (("application/vnd.pypi.simple.v1+json", as_json), ("text/html", as_html)):
        assert hashes(Pin("x", "1.0"), ["i://one"], lambda _, k=kind, t=text: Answer(200, k, t)) == [one, two]


def test_a_version_without_a_hash_ends_the_writing() -> None:
    with pytest.raises(SystemExit, match=r"x==2\.0"):
        hashes(Pin("x", "2.0"), ["i://one", "i://two"], lambda _: Answer(404))
