"""An exception as it may leave the machine: a code of the catalogue, the class and our own line. Never its text."""

from __future__ import annotations

import traceback
from pathlib import Path

from splitcore.bounds import plain, plain_line, without_folders
from splitcore.errors import CATALOGUE, AppError
from splitcore.errors.numbers import code_of
from workers.contracts import ErrorInfo

ROOT = Path(__file__).resolve().parents[1]
OWN = ("splitcore", "workers")
OF_ROWS = ("CL-12", "CL-1550")  # how many rows are so and so long is no one's business but the site's
# What a half that ends tells of the run, not of its own site: both act on it alike.
OF_BOTH = frozenset({"CL-1503", "CL-1510", "CL-1530", "CL-1531", "CL-1532", "CL-1534"})


def error_info(error: BaseException | str) -> ErrorInfo:
    """The form in which an error is reported. `error` is an exception or a code."""
    if isinstance(error, str):
        return ErrorInfo(code=error, message=CATALOGUE[error].title, remedy=CATALOGUE[error].remedy)
    if _is_peers(error):
        return _peers_word(error)
    code = code_of(error)
    help_ = CATALOGUE[code]
    # An AppError's own sentence names fields and numbers; those that tell of rows are reduced to the catalogue's title.
    own_words = isinstance(error, AppError) and not code.startswith(OF_ROWS)
    message = error.message if own_words and isinstance(error, AppError) else help_.title
    remedy = error.remedy if own_words and isinstance(error, AppError) else help_.remedy
    return ErrorInfo(code=code, message=plain(without_folders(message)), remedy=plain(remedy), where=where_of(error))


def _is_peers(error: BaseException) -> bool:
    """Whether the other half said it. By the class's name: its module loads torch."""
    return any(cls.__name__ == "PeerError" for cls in type(error).__mro__)


def _peers_word(error: BaseException) -> ErrorInfo:
    """A trouble of the other half is reported as its word. Only what concerns both keeps its number."""
    code = code_of(error)
    said = CATALOGUE[code]
    shown = code if code.startswith("CL-13") or code in OF_BOTH else "CL-1329"
    message = f"The other half reported {code}: {said.title}." if code != "CL-1329" else said.title
    return ErrorInfo(code=shown, message=message, remedy=CATALOGUE[shown].remedy, where=where_of(error))


def where_of(error: BaseException) -> str:
    """Class and the innermost line of our own code: `ValueError at splitcore/data/rows.py:41`."""
    name = type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OWN:
            return plain_line(f"{name} at {path.relative_to(ROOT)}:{frame.lineno}")
    return plain_line(name)
