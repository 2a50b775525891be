"""Bounds of what is read from elsewhere: numbers, texts, moments, and JSON whose keys nobody knows. No torch.

Messages, the REST API and configurations take their types from here, so that nothing which was let in can be too large
for a database's column, a division, a page or another program's JSON.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

COUNT_MAX = 2**53  # the largest integer that every reader of JSON keeps exactly
SMALL_MAX = 2**31 - 1  # the largest integer of a database's plain column
FLOAT_MAX = 3.5e38  # what does not fit into 32 bits counts as not finite
SECONDS_MAX = 1e9
JSON_DEPTH = 32
JSON_NODES = 20_000
JSON_CHARACTERS = 512 * 1024

# Everything but control characters. A text may have tabs and line ends, a line has none.
LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
# A model's public id is `name` or `owner/name`: no path of a machine, no address, no way out of a folder.
MODEL_ID = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._\-]{0,95})?$"
# The same, or a folder of this machine; nothing that ends a quotation in a program or a page.
MODEL_SOURCE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\"`<>\\]+$"
REVISION = r"^([A-Za-z0-9][A-Za-z0-9._/+\-]{0,99})?$"  # a commit, a tag or a branch; "" for none
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Absolute, and no part of an address. A folder's name may have spaces in it, but none at its ends.
_PATH = re.compile(r"(?<![\w:/.\-])/(?:[^\s/,;:()'\"](?:[^/\n,;:()'\"]*[^\s/,;:()'\"])?/)+([^\s/,;:()'\"]*)")
# Controls, formats (such as U+202E), halves, private ones and those that are none; and letters that show nothing.
_INVISIBLE_KINDS = ("Cc", "Cf", "Cs", "Co", "Cn")
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NOT_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def _finite(value: Any) -> Any:
    """None in place of a number that is not finite, or too large for 32 bits."""
    if isinstance(value, float | int) and not isinstance(value, bool) and not abs(value) <= FLOAT_MAX:
        return None
    return value


def _whole_microseconds(value: float) -> float:
    """So small a time as 1e-300 s is none: it must not become a rate."""
    return round(value, 6)


def _in_utc(moment: datetime) -> datetime:
    """A moment with its zone, UTC where none is named; not so near the calendar's ends that a day cannot be added."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if not 1970 <= moment.year <= 9000:
        raise ValueError("the year is out of range")
    return moment.astimezone(UTC)


Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Small = Annotated[int, Field(ge=0, le=SMALL_MAX)]
Measure = Annotated[float | None, BeforeValidator(_finite)]  # None: not available, since it was not finite
Seconds = Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False), AfterValidator(_whole_microseconds)]
Moment = Annotated[datetime, AfterValidator(_in_utc)]
Word = Annotated[str, StringConstraints(max_length=64, pattern=LINE)]  # an id or a key of a query
Short = Annotated[str, StringConstraints(max_length=120, pattern=LINE)]
Text = Annotated[str, StringConstraints(max_length=600, pattern=TEXT)]


def is_plain(text: str) -> bool:
    """Whether a text has neither control characters nor half characters."""
    return _CONTROL.search(text) is None


def plain(text: str, limit: int = 600) -> str:
    """A text without control characters and half characters, cut to `limit`: fit for a `Text`."""
    return _CONTROL.sub("", text)[:limit]


def plain_line(text: str, limit: int = 120) -> str:
    """A text as one line without control characters, cut to `limit`: fit for a `Short`."""
    return _NOT_LINE.sub(" ", text)[:limit]


def visible_line(text: str, limit: int = 120) -> str:
    """A name as people see it: one line without characters that show nothing or turn the text round, cut to `limit`.

    Two names that look the same would be two otherwise. Look-alike letters are the hub's matter (webapp/core/names.py).
    """
    shown = (letter for letter in unicodedata.normalize("NFC", text) if letter.isspace() or not _is_invisible(letter))
    return " ".join("".join(shown).split())[:limit].strip()


def is_visible(text: str) -> bool:
    """Whether a text has no character that shows nothing, turns the text round, or that nobody else has."""
    return not any(_is_invisible(letter) for letter in text)


def _is_invisible(letter: str) -> bool:
    return unicodedata.category(letter) in _INVISIBLE_KINDS or _INVISIBLE.match(letter) is not None


def without_folders(text: str) -> str:
    """A text in which each path of this machine is cut to its last name: folders may tell of people and projects."""
    return _PATH.sub(r"\1", text)


def json_check(value: Any, *, characters: int = JSON_CHARACTERS) -> Any:
    """The value itself, when it is JSON of a bounded size and depth with bounded numbers. Raises ValueError.

    What YAML's aliases repeat is counted as often as it occurs.
    """
    waiting, seen, written = [(value, 0)], 0, 0
    while waiting:
        item, level = waiting.pop()
        seen += 1
        if seen > JSON_NODES or level > JSON_DEPTH:
            raise ValueError("it is nested too deeply or has too many entries")
        if isinstance(item, dict):
            written += sum(_characters(key) for key in item)
            waiting += [(entry, level + 1) for entry in item.values()]
        elif isinstance(item, list | tuple):
            waiting += [(entry, level + 1) for entry in item]
        elif isinstance(item, str):
            written += _characters(item)
        else:
            _number_check(item)
        if written > characters or len(waiting) > JSON_NODES:
            raise ValueError("it is too long")
    return value


def _characters(text: Any) -> int:
    if not isinstance(text, str):
        raise ValueError("a key isn't text")
    if not is_plain(text):
        raise ValueError("a text has control characters")
    return len(text)


def _number_check(value: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > 2**63:
            raise ValueError("a number is too large")
    elif not isinstance(value, float) or not math.isfinite(value):
        raise ValueError("a value isn't valid JSON")


Free = Annotated[dict[str, Any], AfterValidator(json_check)]  # JSON whose keys are another program's


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} isn't JSON")


def json_read(text: str | bytes) -> Any:
    """JSON as the standard has it: no NaN, and never deeper than Python can go. Raises ValueError, and nothing else."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def json_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object from elsewhere, see `json_read`. Raises ValueError, also for JSON of another kind."""
    found = json_read(text)
    if not isinstance(found, dict):
        raise ValueError("it isn't a JSON object")
    return found
