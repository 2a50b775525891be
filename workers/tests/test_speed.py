"""A worker measures how fast its machine computes once, and measures again when the machine has changed."""

from __future__ import annotations

import json
from pathlib import Path

from workers.facts import gather_facts
from workers.settings import WorkerHome
from workers.speed import find_speed, human_rate, known_speed


def test_the_speed_is_measured_once_and_told_with_the_facts(tmp_path: Path) -> None:
    home = WorkerHome(tmp_path)
    assert gather_facts(home, tensor_host="", tensor_ports=(1, 2)).speed is None
    speed = find_speed(home)
    assert speed is not None
    assert speed.float32 > 1e8
    measured_at = home.speed_file.stat().st_mtime_ns
    assert find_speed(home) == speed
    assert home.speed_file.stat().st_mtime_ns == measured_at
    assert gather_facts(home, tensor_host="", tensor_ports=(1, 2)).speed == speed


def test_what_was_measured_on_another_machine_does_not_count(tmp_path: Path) -> None:
    home = WorkerHome(tmp_path)
    stored = {"machine": {"cpus": 4096}, "speed": {"device": "cpu", "float32": 1e12}}
    home.speed_file.write_text(json.dumps(stored))
    assert known_speed(home) is None
    home.speed_file.write_text("broken")
    assert known_speed(home) is None


def test_rates_are_told_in_the_unit_that_fits() -> None:
    assert [human_rate(rate) for rate in (8.42e10, 3.1e13)] == ["84.2 GFLOP/s", "31 TFLOP/s"]
