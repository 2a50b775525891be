"""What lengths and zeros tell of rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, capture, plan_of
from splitcore.audit.leaks.evidence import evidence_of
from splitcore.audit.leaks.registry import looked_for
from splitcore.audit.shapes import shapes_of
from splitcore.training.tests.conftest import run_config

ROWS = [{"prompt": f"q{'x' * length}", "completion": f" {n}"} for n, length in enumerate((1, 1, 2, 5))]


@pytest.mark.parametrize(("tail", "prompts"), [(0, 1.0), (2, 0.0)])
def test_lengths_tell_rows_apart_and_zeros_of_a_bare_head_tell_prompts(
    model: Callable[[str], Path], tmp_path: Path, tail: int, prompts: float
) -> None:
    taken = capture(run_config(model("llama"), split={"tail_layers": tail}), ROWS, tmp_path, epochs=1)
    evidence = evidence_of(taken, TranscriptReader(plan_of(taken.config), PARTY).read(taken.recording))
    shapes = shapes_of(evidence)
    assert (shapes.rows, shapes.exact, shapes.alone, shapes.bits) == (4, 1.0, 0.5, 1.5)
    assert shapes.prompts == prompts
    assert ("where the prompt ends" in shapes.words) == bool(prompts)
    zeros = {one.leak: one.outcome for one in looked_for(evidence)}["zero_rows"]
    assert zeros == ("found" if prompts else "not_found")
