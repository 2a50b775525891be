"""Numbers as people read them."""

from datetime import timedelta

import pytest

from interface.formatting import NOTHING, human_bytes, human_duration, human_number, human_percent


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (512, "512 bytes"),
        (1000, "1.0 kB"),
        (3_400_000, "3.4 MB"),
        (21_474_836_480, "21.5 GB"),
        (999_600, "1.0 MB"),
    ],
)
def test_bytes_have_a_decimal_unit(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.031, "31 ms"),
        (0.4, "0.4 s"),
        (12, "12 s"),
        (59.7, "1 min"),
        (185, "3 min 5 s"),
        (4325, "1 h 12 min"),
        (timedelta(days=2, hours=4), "2 d 4 h"),
        (-5, "-5.0 s"),
    ],
)
def test_durations_show_their_two_largest_units(seconds: float | timedelta, text: str) -> None:
    assert human_duration(seconds) == text


def test_numbers_group_thousands_with_a_narrow_space() -> None:
    assert human_number(1234567) == "1\u202f234\u202f567"
    assert human_number(1.23456) == "1.235"
    assert human_number(0.0002) == "2.00e-04"
    assert human_percent(0.324, 1) == "32.4 %"


@pytest.mark.parametrize("value", [None, "", "abc", float("nan"), float("inf"), True])
def test_what_is_no_number_shows_a_dash(value: object) -> None:
    assert human_bytes(value) == human_number(value) == human_percent(value) == NOTHING
