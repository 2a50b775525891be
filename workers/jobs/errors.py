"""An exception as it may leave the machine: a code of the catalogue, the class and our own line. Never its text."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from splitcore.bounds import plain, plain_line
from splitcore.errors import CATALOGUE, AppError
from workers.contracts import ErrorInfo

ROOT = Path(__file__).resolve().parents[2]
OWN = ("splitcore", "workers")
# Messages of these are written by the worker itself for people; other exceptions' texts may quote a row.
MEMORY_CLASSES = ("MemoryError", "OutOfMemoryError", "AcceleratorError")


def error_info(error: BaseException | str) -> ErrorInfo:
    """The form in which an error is reported. `error` is an exception or a code."""
    if isinstance(error, str):
        return ErrorInfo(code=error, message=CATALOGUE[error].title, remedy=CATALOGUE[error].remedy)
    code = code_of(error)
    help_ = CATALOGUE[code]
    # An AppError's own sentence names fields and numbers; row errors (12xx) are reduced to the catalogue's title.
    own_words = isinstance(error, AppError) and not code.startswith("CL-12")
    message = error.message if own_words and isinstance(error, AppError) else help_.title
    remedy = error.remedy if own_words and isinstance(error, AppError) else help_.remedy
    return ErrorInfo(code=code, message=plain(message), remedy=plain(remedy), where=where_of(error))


def code_of(error: BaseException) -> str:
    """The number of an error."""
    if isinstance(error, AppError):
        return error.code
    if any(cls.__name__ in MEMORY_CLASSES for cls in type(error).__mro__) or _is_cpu_allocator(error):
        return "CL-1521"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "CL-1820"
    if isinstance(error, OSError) and error.errno in (errno.EDQUOT, errno.EFBIG):
        return "CL-1821"
    return "CL-1999"


def _is_cpu_allocator(error: BaseException) -> bool:
    """torch has no class of its own for a processor's memory: its allocator raises a plain RuntimeError."""
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)


def where_of(error: BaseException) -> str:
    """Class and the innermost line of our own code: `ValueError at splitcore/data/rows.py:41`."""
    name = type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OWN:
            return plain_line(f"{name} at {path.relative_to(ROOT)}:{frame.lineno}")
    return plain_line(name)
