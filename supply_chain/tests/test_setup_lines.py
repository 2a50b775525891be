"""The first `make` installs for minutes: each stage says what it does and how long that takes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def test_every_stage_of_the_installation_says_what_it_does_before_it_does_it() -> None:
    told = subprocess.run(
        ["make", "--dry-run", "--always-make", "demo"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = told.splitlines()
    said = [line for line in lines if line.startswith("echo ")]
    assert [int(line[6]) for line in said if re.match(r'echo "\d/5', line)] == [1, 2, 3, 4, 5]
    assert all("(" in line for line in said[1:]), "each with its size or its time"
    first_install = next(place for place, line in enumerate(lines) if "pip install" in line)
    assert any("minutes" in line for line in lines[:first_install])
    assert not re.search(r"https?://|\.(org|com|io)\b", told)
