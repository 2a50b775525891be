"""What the privacy frontier makes of its cells, and that cells which were measured are not measured again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.measured import Figures, Interval
from splitcore.audit.result import AttackResult, AuditResult, CeilingPoint, CeilingResult, ChannelResult, Control
from splitcore.config import RunConfig
from splitcore.fields import names_of
from splitcore.privacy.registry import DEFENCES
from tests.benchmarks import privacy
from tests.benchmarks.frame import Scale
from tests.benchmarks.privacy.cell import Cell
from tests.benchmarks.privacy.settings import settings
from tests.benchmarks.privacy.summary import summed_up
from tests.benchmarks.privacy.table import table

QUICK = Scale(quick=True)


def figures(value: float) -> Figures:
    tokens = Interval(value=value, low=value - 0.05, high=value + 0.05)
    return Figures(tokens=tokens, rare=None, exact=0.0, worst=1.0, rouge_l=value, records=48, counted=900)


def result(read: float, *, ceiling: float | None = None, valid: bool = True) -> AuditResult:
    attack = AttackResult(
        attack="enumeration", channel=LeakChannel.HIDDEN, outcome="ran", figures=figures(read), null=figures(0.1)
    )
    point = CeilingPoint(kappa=0.15, value=ceiling, bound="record", says_something=True) if ceiling else None
    wanted = Interval(value=1.0, low=0.99, high=1.0)
    swapped = Interval(value=0.1, low=0.05, high=0.15)
    return AuditResult(
        size="quick",
        portfolio=1,
        at=datetime(2026, 11, 30, tzinfo=UTC),
        valid=valid,
        records=48,
        auxiliary=300,
        epochs=1,
        attacks=[attack],
        controls=[
            Control(name="no_defence", channel=LeakChannel.HIDDEN, passed=valid, found=0.995, wanted=wanted),
            Control(name="shuffled", channel=LeakChannel.HIDDEN, passed=True, found=0.12, wanted=swapped),
        ],
        channels=[ChannelResult.of(attack)],
        ceiling=CeilingResult(at_null=point, why_none="" if ceiling else "No noise."),
        seconds=1.0,
    )


def cell(defence: str, after: float, audit: AuditResult, *, seed: int = 0) -> Cell:
    strength = "" if defence == "none" else "weak"
    return Cell(
        key=f"{defence}{seed}",
        model="demo",
        task="text",
        defence=defence,
        strength=strength,
        seed=seed,
        before=3.0,
        after=after,
        bytes=1000,
        seconds=2.0,
        audit=audit.model_dump(mode="json"),
    )


def test_the_gain_kept_is_of_the_gain_without_a_defence_with_the_same_seed() -> None:
    plain = [cell("none", 2.0, result(0.9)), cell("none", 1.0, result(0.9), seed=1)]
    noisy = [cell("gaussian", 2.5, result(0.5, ceiling=0.8)), cell("gaussian", 2.0, result(0.7, ceiling=0.9), seed=1)]
    found = summed_up([*plain, *noisy])
    entry = next(one for one in found["cells"] if one["defence"] == "gaussian")
    assert entry["gain_kept"] == pytest.approx(0.5)
    assert entry["recovery"] == pytest.approx({"value": 0.6, "low": 0.45, "high": 0.75})
    assert entry["null"] == pytest.approx({"value": 0.1, "high": 0.15})
    assert entry["ceiling"] == 0.9, "of the seed with the highest one"
    assert next(one for one in found["cells"] if one["defence"] == "none")["ceiling"] is None
    assert found["controls"]["no_defence"] == 0.995
    assert found["controls"]["null_shift"] == pytest.approx(0.02)
    assert len(table(found).rows) == 2


def test_an_audit_that_failed_its_controls_is_named_and_marked() -> None:
    found = summed_up([cell("none", 2.0, result(0.9, valid=False))])
    assert found["controls"]["invalid"] == ["demo none"]
    assert "INVALID" in table(found).rows[0][5]


def test_cells_that_were_kept_come_back_and_half_a_line_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "cells.jsonl"
    whole = cell("none", 2.0, result(0.9))
    kept.write_text(f"{whole.line()}\n{whole.line()[:100]}\n")
    monkeypatch.setattr(privacy, "KEPT", kept)
    assert list(privacy._kept()) == [whole]


def test_a_cell_is_measured_again_once_its_setting_has_changed() -> None:
    one = settings(QUICK)[-1]
    assert one.key(QUICK) == one.key(QUICK) != one.key(Scale())
    assert replace(one, seed=9).key(QUICK) != one.key(QUICK)
    assert replace(one, changes={}).key(QUICK) != one.key(QUICK)


def test_every_setting_is_a_configuration_and_the_unprotected_run_comes_first() -> None:
    chosen = settings(Scale())
    assert chosen[0].defence == "none"
    assert len({setting.key(Scale()) for setting in chosen}) == len(chosen)
    for setting in chosen:
        RunConfig.parse({"model": {"name_or_path": "any/model"}, **setting.changes})


def test_every_defence_is_measured() -> None:
    measured = {
        defence["name"]
        for setting in settings(Scale())
        for defence in setting.changes.get("privacy", {}).get("defences", [])
    }
    assert measured == {name for defence in DEFENCES for name in names_of(defence)}
