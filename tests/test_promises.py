"""The table of promises is what the tests' marks make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.promises import LATER, NO_TEST, PAGE, PROMISES, Mark, marks, marks_in, page, table

# Shrinks only: a promise that gets its test leaves this list.
WITHOUT_A_TEST: set[int] = set()


def test_the_table_is_the_one_that_the_marks_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_promise_has_a_test_or_says_that_it_has_none() -> None:
    kept = {mark.number for mark in marks()}
    assert kept <= PROMISES.keys()
    assert PROMISES.keys() - kept - LATER.keys() <= WITHOUT_A_TEST


def test_a_promise_that_comes_later_has_no_test_yet() -> None:
    assert {mark.number for mark in marks()}.isdisjoint(LATER)


def test_a_row_names_tests_and_figures_and_a_missing_test_is_said() -> None:
    text = table([Mark(7, "0 changes", "a/test_x.py", "test_replay"), Mark(7, "0 changes", "a/test_y.py", "test_more")])
    assert "| `a/test_x.py::test_replay`<br>`a/test_y.py::test_more` | 0 changes |" in text
    assert f"| {NO_TEST} |  |" in text
    assert "| comes with privacy |" in text


def test_marks_are_read_from_functions_and_classes() -> None:
    source = (
        "import pytest\n@pytest.mark.promise(3, figure='0')\nasync def test_a(): ...\n"
        "@pytest.mark.promise(5)\nclass TestB: ...\n@pytest.mark.other(6)\ndef test_c(): ...\n"
    )
    assert list(marks_in(Path("x.py"), source)) == [Mark(3, "0", "x.py", "test_a"), Mark(5, "", "x.py", "TestB")]


@pytest.mark.parametrize("mark", marks(), ids=lambda mark: f"{mark.number}: {mark.test}")
def test_a_mark_stands_on_something_that_runs(mark: Mark) -> None:
    assert mark.test.startswith(("test_", "Test")) or mark.file.startswith(("tests/benchmarks/", "tests/soak/"))
