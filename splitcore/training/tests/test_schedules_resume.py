"""Every mode survives a failure in the middle with the very same result, and computes alike with layers run twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import splitcore
from splitcore.control.events import SERVER, CheckpointChanged, Event
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket")}


class InterruptionError(Exception):
    """The listener's end."""


@pytest.mark.parametrize(
    ("schedule", "recompute"),
    [({"mode": "sequential", "turn_steps": 2}, False), ({"mode": "splitfed_v1", "aggregate_every": 4}, True)],
)
def test_a_run_that_broke_off_within_a_round_resumes_to_the_very_same_adapter(
    model: Model, tmp_path: Path, schedule: dict[str, Any], recompute: bool
) -> None:
    training = {"steps": 6, "micro_batches": 2, "checkpoint_every": 1, "eval_every": 0}
    config = run_config(model("llama"), training=training, schedule=schedule)
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "whole")

    def interrupt(event: Event) -> None:
        if isinstance(event, CheckpointChanged) and (event.party, event.step, event.action) == (SERVER, 3, "saved"):
            raise InterruptionError

    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, SHARDS, out=tmp_path / "broken", on_event=interrupt)
    resumed: list[Event] = []
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "broken", resume=True, on_event=resumed.append)
    assert any(isinstance(event, CheckpointChanged) and event.action == "resumed" for event in resumed)
    assert difference(tmp_path / "whole" / "adapter", tmp_path / "broken" / "adapter") == 0.0
    if recompute:
        twice = run_config(model("llama"), training={**training, "gradient_checkpointing": True}, schedule=schedule)
        splitcore.fine_tune(twice, SHARDS, out=tmp_path / "twice")
        assert difference(tmp_path / "whole" / "adapter", tmp_path / "twice" / "adapter") == 0.0
