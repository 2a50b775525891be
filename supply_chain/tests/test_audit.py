"""What the gate tells about known vulnerabilities."""

from __future__ import annotations

from pathlib import Path

import pytest

from supply_chain import audit

CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
HIT = {"name": "c", "version": "1", "vulns": [{"id": "PYSEC-2026-1"}]}


def test_a_known_vulnerability_fails_the_gate_and_is_named() -> None:
    text, passed = audit.verdict({"dependencies": [CLEAN, SKIPPED, HIT]})
    assert not passed
    assert "c 1: PYSEC-2026-1" in text


def test_a_feed_that_answers_for_no_package_is_not_called_clean() -> None:
    for answer in (None, {"dependencies": [SKIPPED, SKIPPED]}):
        text, passed = audit.verdict(answer)
        assert passed
        assert text.startswith("NOT CHECKED")


def test_a_package_that_was_not_checked_is_named_beside_those_that_were() -> None:
    text, passed = audit.verdict({"dependencies": [CLEAN, SKIPPED]})
    assert passed
    assert text == "1 packages without a known vulnerability, 1 NOT CHECKED (b)."


def test_a_feed_that_does_not_answer_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audit, "SECONDS", 0.01)
    listed = tmp_path / "listed.txt"
    listed.write_text("a==1\n")
    assert audit.ask(listed) is None


def test_what_is_asked_about_holds_torch_and_every_pin() -> None:
    lines = audit.requirements().splitlines()
    assert lines[0].startswith("torch==")
    assert any(line.startswith("django==") for line in lines)
