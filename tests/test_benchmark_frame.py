"""The benchmarks' statistics and their summary file; nothing here is timed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.frame import KEYS, Scale, available, benchmark, figure, interleaved, ratios
from tests.benchmarks.summary import merge


def test_a_figure_is_the_median_of_its_runs_with_their_range() -> None:
    assert figure([3.0, 1.0, 2.0], unit="s") == {"value": 2.0, "spread": 2.0, "runs": [3.0, 1.0, 2.0], "unit": "s"}
    assert figure([1.0, 2.0])["value"] == 1.5
    with pytest.raises(ValueError, match="at least one run"):
        figure([])


def test_runs_are_interleaved_and_every_other_round_goes_backwards() -> None:
    order: list[str] = []

    def arm(name: str, value: float) -> float:
        order.append(name)
        return value

    rounds = interleaved(3, {"a": lambda: arm("a", 4.0), "b": lambda: arm("b", 2.0)})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert ratios(rounds, "a", "b") == [2.0, 2.0, 2.0]
    assert all(list(one) == ["a", "b"] for one in rounds)


def test_the_summary_keeps_the_results_of_other_benchmarks(tmp_path: Path) -> None:
    path = tmp_path / "results" / "summary.json"
    merge(path, "wire", {"value": 1.0}, {"cores": 2})
    merge(path, "wan", {"value": 2.0}, {"cores": 4})
    merge(path, "wire", {"value": 3.0}, {"cores": 8})
    assert json.loads(path.read_text()) == {
        "wire": {"value": 3.0},
        "wan": {"value": 2.0},
        "machine": {"wire": {"cores": 8}, "wan": {"cores": 4}},
    }


def test_every_benchmark_measures_and_shows() -> None:
    assert available()
    assert set(available()) <= set(KEYS)
    for key in available():
        module = benchmark(key)
        assert callable(module.measure), key
        assert callable(module.rows), key
    assert Scale(quick=True).of(5, 2) == 2
