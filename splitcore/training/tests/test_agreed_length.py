"""How long a run is follows from the contract, whatever the compute site's half says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import splitcore
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.training import server
from splitcore.training.tests.conftest import run_config


@pytest.mark.parametrize(
    ("training", "named"),
    [({"steps": 3}, 60), ({"steps": 3}, 2), ({"steps": None, "epochs": 1.0}, 60), ({"steps": 3}, 0)],
    ids=["more steps", "fewer steps", "more than the epochs of the only rows", "none"],
)
def test_a_data_site_trains_no_other_number_of_steps_than_the_contract_s(
    model: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, Any],
    named: int,
) -> None:
    config = run_config(model("llama"), training={"eval_every": 0, **training})
    monkeypatch.setattr(server, "total_steps", lambda *_: named)
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path / "out")
    assert caught.value.code == "CL-1505"


def test_a_data_site_trains_no_fewer_steps_than_its_own_rows_ask_for(
    model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(model("llama"), training={"eval_every": 0, "steps": None, "epochs": 1.0})
    monkeypatch.setattr(server, "total_steps", lambda *_: 1)
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(config, {"a": rows(10), "b": rows(2)}, out=tmp_path / "out")
    assert caught.value.code == "CL-1505"
