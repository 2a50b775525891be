"""Keeps live tokens out of every log line of a process, whichever logger, handler or library writes it."""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any

# Tokens of invitations (cli_), enrolments (clw_) and the API (clt_), as webapp/core/ids.py makes them.
TOKEN = re.compile(r"\b(cl[a-z]_)[\w-]{43}")


def redacted(text: str) -> str:
    """The text with each token cut down to its prefix, which still tells its kind."""
    return TOKEN.sub(r"\1…", text)


def redact_logs() -> None:
    """From now on no record of this process carries a token: neither message, arguments, traceback nor stack.

    Done where records are made, so that no handler can be forgotten.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _cleaned(make(*args, **kwargs))

    factory.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def _cleaned(record: logging.LogRecord) -> logging.LogRecord:
    record.msg = _part(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(_part(part) for part in record.args)
    elif isinstance(record.args, dict):
        record.args = {key: _part(part) for key, part in record.args.items()}
    if record.exc_info and record.exc_info[0] is not None:  # formatters print this text and look no further
        record.exc_text = redacted("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    if record.stack_info:
        record.stack_info = redacted(record.stack_info)
    return record


def _part(part: Any) -> Any:
    """A message or an argument; one that is no text is kept as it is, unless its text holds a token."""
    if part is None or isinstance(part, int | float):
        return part
    text = part if isinstance(part, str) else str(part)
    return redacted(text) if TOKEN.search(text) else part
