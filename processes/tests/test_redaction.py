"""No token reaches a log, on whatever way it comes."""

from __future__ import annotations

import io
import logging
import secrets

import pytest

from processes.redaction import redact_logs, redacted

TOKEN = f"cli_{secrets.token_urlsafe(32)}"


class Address:
    """An argument that is no text, as a library's URL."""

    def __str__(self) -> str:
        return f"https://hub.example/invite/{TOKEN}"


@pytest.fixture
def lines():
    before = logging.getLogRecordFactory()
    redact_logs()
    redact_logs()  # a second time changes nothing
    stream, log = io.StringIO(), logging.getLogger("test.redaction")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield log, stream
    log.removeHandler(handler)
    logging.setLogRecordFactory(before)


def test_tokens_in_message_arguments_and_tracebacks_are_cut(lines):
    log, stream = lines
    log.info(f"opened {TOKEN}")  # what a library may do
    log.info("%s %s took %d ms", "GET", f"/invite/{TOKEN}/accept", 3)
    log.info("request %s", Address())
    log.info("%(path)s", {"path": f"/invite/{TOKEN}"})
    log.info("a stack", stack_info=True)
    try:
        raise ValueError(f"bad token {TOKEN}")
    except ValueError:
        log.exception("refused")
    text = stream.getvalue()
    assert TOKEN not in text
    assert text.count("cli_…") >= 5
    assert "GET /invite/cli_…/accept took 3 ms" in text
    assert "ValueError: bad token cli_…" in text


@pytest.mark.parametrize("text", ["cli_short", "inv_0123456789abcdef", "claims_" + "x" * 43, "nothing"])
def test_other_words_stay(text):
    assert redacted(text) == text
