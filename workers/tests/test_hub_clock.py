"""A worker's records are dated, and its requests signed, by the hub's clock as far as an answer can tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from workers.hub_clock import HubClock

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)  # by this machine's clock


def answered(clock: HubClock, *, ahead: float, took: float, way_back: float) -> None:
    """The hub, whose clock is `ahead` (all in seconds), answers a request that took so long, the way back included."""
    said = NOW + timedelta(seconds=ahead - way_back)
    clock.follow(said, asked_at=NOW.timestamp() - took)


@time_machine.travel(NOW, tick=False)
def test_the_clock_follows_the_hub_s_and_is_kept_for_other_processes(tmp_path: Path) -> None:
    clock = HubClock(tmp_path / "clock")
    answered(clock, ahead=-600.0, took=0.2, way_back=0.1)
    assert clock.now() == pytest.approx(NOW.timestamp() - 600, abs=0.2)
    assert HubClock(tmp_path / "clock").offset == pytest.approx(clock.offset, abs=0.001)


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("way_back", [0.0, 12.0, 25.0])
def test_an_answer_that_was_long_on_its_way_moves_nothing(tmp_path: Path, way_back: float) -> None:
    clock = HubClock(tmp_path / "clock")
    answered(clock, ahead=-600.0, took=0.2, way_back=0.1)
    before = clock.offset
    answered(clock, ahead=-600.0, took=25.0, way_back=way_back)
    assert clock.offset == before


@time_machine.travel(NOW, tick=False)
def test_a_quick_answer_corrects_what_a_slow_one_has_set() -> None:
    clock = HubClock()
    answered(clock, ahead=300.0, took=30.0, way_back=30.0)
    assert clock.offset == pytest.approx(300, abs=16)
    answered(clock, ahead=300.0, took=0.2, way_back=0.1)
    assert clock.offset == pytest.approx(300, abs=0.2)


def test_a_figure_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("x")
    assert HubClock(tmp_path / "clock").offset == 0.0
