"""Numbers as people read them."""

from datetime import timedelta

import pytest

from interface.formatting import (
    NOTHING,
    human_browser,
    human_bytes,
    human_detail,
    human_duration,
    human_number,
    human_percent,
)


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


@pytest.mark.parametrize(
    ("user_agent", "text"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/138.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/138.0 Safari/537.36 Edg/138.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Version/17.5 Safari/605.1.15", "Safari on macOS"),
        ("curl/8.5.0", "curl"),
        ("", "an unknown browser"),
    ],
)
def test_a_browser_is_called_as_people_call_it(user_agent: str, text: str) -> None:
    assert human_browser(user_agent) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("clinic", "clinic"),
        (0, "0"),
        (False, "no"),
        ("", NOTHING),
        (None, NOTHING),
        ([], NOTHING),
        (["read", "runs:write"], "read, runs:write"),
        ([{"field": "hosts", "limit": 3}, {"field": "models"}], "field: hosts, limit: 3; field: models"),
    ],
)
def test_details_have_no_brackets(value: object, text: str) -> None:
    assert human_detail(value) == text
