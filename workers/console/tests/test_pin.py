"""Guessing the PIN is slow, and a restart makes it no faster."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitcore.errors import AppError
from workers.console import pin
from workers.console.pin import WAIT_MOST, check_pin, forget_tries, read_or_create_pin


class Clock:
    """A clock that a test moves."""

    now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pin, "time", made)
    return made


def code_of(home: Path, given: str) -> str:
    try:
        check_pin(home, given)
    except AppError as error:
        return error.code
    return ""


def test_each_wrong_pin_after_the_fifth_doubles_the_wait(tmp_path: Path, clock: Clock) -> None:
    right = read_or_create_pin(tmp_path)
    assert [code_of(tmp_path, "0") for _ in range(6)] == ["CL-1454"] * 5 + ["CL-1455"]
    for wait in (60, 120, 240):
        clock.now += wait - 1
        assert code_of(tmp_path, right) == "CL-1455"
        clock.now += 2
        assert code_of(tmp_path, "0") == "CL-1454"
    clock.now += 3601
    assert code_of(tmp_path, right) == ""
    assert code_of(tmp_path, "0") == "CL-1454"


def test_a_clock_that_is_set_back_makes_nobody_wait_longer_than_the_longest_wait(tmp_path: Path, clock: Clock) -> None:
    year = 365 * 86400.0
    clock.now += year
    for _ in range(5):
        code_of(tmp_path, "wrong")
    clock.now -= year
    assert code_of(tmp_path, read_or_create_pin(tmp_path)) == "CL-1455"
    clock.now += WAIT_MOST + 1
    assert code_of(tmp_path, read_or_create_pin(tmp_path)) == ""


def test_the_owner_of_the_folder_ends_the_wait(tmp_path: Path, clock: Clock) -> None:
    for _ in range(6):
        code_of(tmp_path, "0")
    forget_tries(tmp_path)
    assert code_of(tmp_path, read_or_create_pin(tmp_path)) == ""


def test_a_damaged_memory_of_tries_lets_no_one_guess_freely(tmp_path: Path, clock: Clock) -> None:
    read_or_create_pin(tmp_path)
    (tmp_path / "keys" / "console.tries").write_text("{")
    assert [code_of(tmp_path, "0") for _ in range(2)] == ["CL-1454", "CL-1455"]
