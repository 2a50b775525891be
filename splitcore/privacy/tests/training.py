"""What the tests of the defences that act through training share: a place to build them in, and runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At
from splitcore.config import RunConfig
from splitcore.control.events import SERVER, CheckpointChanged, Event
from splitcore.models.carve import hidden_width
from splitcore.models.tests.tiny import rows
from splitcore.run.plan import run_plan
from splitcore.run.settings import HalfSettings
from splitcore.training.halves import load_with_adapter
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
KEY = bytes(range(32))
MASK_BL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
IDS_BL = torch.tensor([[5, 6, 7, 8, 9], [5, 9, 4, 0, 0]])
LABELS_BL = torch.where(MASK_BL.bool(), IDS_BL, -100)
AT = At(0, 0, MASK_BL, (3, 9), ids_BL=IDS_BL)
TARGETS = 6


def defended(folder: Path, *defences: Any, **changes: Any) -> RunConfig:
    """A short run with these defences."""
    training = {"steps": 4, "eval_every": 2, "checkpoint_every": 1, **changes.pop("training", {})}
    return run_config(folder, training=training, privacy={"defences": list(defences)}, **changes)


def place_of(folder: Path, out: Path) -> Place:
    """Where a defence is built: the head of a tiny model."""
    config = run_config(folder)
    plan = run_plan(HalfSettings(config, ["a"], folder, out))
    head = load_with_adapter(plan, "head", plan.layout(config.lora), config.lora)
    return Place(config, "a", head, hidden_width(plan.model_config), out)


class InterruptionError(Exception):
    """The listener's end."""


def goes_on(config: RunConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that breaks off ends with the same adapter as one that doesn't, with the same secret."""
    monkeypatch.setattr("splitcore.privacy.secret.secrets.token_bytes", lambda count: (KEY * 8)[:count])

    def interrupt(event: Event) -> None:
        if isinstance(event, CheckpointChanged) and (event.party, event.step, event.action) == (SERVER, 2, "saved"):
            raise InterruptionError

    data = {"a": rows(10)}
    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, data, out=folder / "broken", on_event=interrupt, eval_rows=rows(3))
    splitcore.fine_tune(config, data, out=folder / "broken", resume=True, eval_rows=rows(3))
    splitcore.fine_tune(config, data, out=folder / "whole", eval_rows=rows(3))
    assert difference(folder / "whole" / "adapter", folder / "broken" / "adapter") == 0.0
