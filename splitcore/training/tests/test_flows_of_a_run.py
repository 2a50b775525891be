"""Real runs in this process: every frame that leaves a half belongs to a flow, and every flow is really there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import splitcore
from splitcore.config import RunConfig
from splitcore.flows import Cast, Part, flows_of
from splitcore.launch import threads
from splitcore.models.tests.tiny import rows
from splitcore.optimise.optimiser import SEPARATOR
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.declared import Content
from splitcore.wire.protocol.frames import PREFIX, FrameType
from splitcore.wire.transport.memory import memory_pair

SHARDS = {"a": rows(10), "b": rows(7, word="ticket")}
ENDS, MOMENTS = "an adapter tensor", "a moment"
UP, DOWN = "up", "down"
Entry = tuple[str, str, str, str]  # direction, kind, phase, tensor or field

RUNS: dict[str, tuple[int, dict[str, Any]]] = {
    "summed, with changes of activations": (2, {"wire": {"changes": "int4", "activations": "int8"}}),
    "in turn, with labels": (2, {"split": {"topology": "vanilla"}, "schedule": {"mode": "sequential"}}),
    "averaged, with a frozen head that is kept": (
        2,
        {
            "schedule": {"mode": "splitfed_v1", "aggregate_every": 3},
            "lora": {"train_head": False},
            "training": {"cache_activations": True},
        },
    ),
    "summed under masks": (2, {"privacy": {"sums": "masked"}}),
    "averaged under masks": (2, {"privacy": {"sums": "masked"}, "schedule": {"mode": "splitfed_v1"}}),
    "handed on, encrypted": (2, {"privacy": {"sums": "masked"}, "schedule": {"mode": "sequential"}}),
    "one party alone": (1, {"wire": {"skip_padding": True}}),
    "one party alone, with labels": (1, {"split": {"topology": "vanilla"}}),
    "ends of their own": (2, {"schedule": {"mode": "personalised", "straggler": "continue", "deadline_factor": 100}}),
}
# What is sent when something goes wrong, somebody is late, or a person interferes: no part of an undisturbed run.
FAULT = ("source", "where", "rows")
RARE = {
    *(("control", name) for name in ("", "action")),
    *((kind, name) for kind in ("aggregate", "step_done") for name in FAULT),
    *((kind, "fault") for kind in ("activations", "loss")),
    ("aggregate", "late"),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_frame_of_a_run_belongs_to_a_flow_and_every_flow_is_sent(
    name: str, model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parties, changes = RUNS[name]
    training = {"steps": 6, "micro_batches": 2, "eval_every": 3, **changes.get("training", {})}
    config = run_config(model("llama"), **{**changes, "training": training})
    shards = dict(list(SHARDS.items())[:parties])
    taps = Taps()
    monkeypatch.setattr(threads, "memory_pair", taps.pair)
    splitcore.fine_tune(
        config, shards, out=tmp_path, eval_rows=dict.fromkeys(shards, rows(3)), sample_prompts=["a case"]
    )
    seen, flows = {entry for frame in taps.frames for entry in sent(*frame)}, declared(config, list(shards))
    assert len(taps.frames) > 50
    assert seen <= flows, seen - flows
    unsent = {(kind, field) for _, kind, _, field in flows - seen} - RARE
    assert unsent <= ({("step_done", "")} if config.schedule.lateness()[0] == "continue" else set())


class Taps:
    """Keeps a copy of every frame between the halves, before anybody has read it."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []

    def pair(self, *limits: Any, **options: Any) -> Any:
        return memory_pair(*limits, up=self._tap(UP), down=self._tap(DOWN), **options)

    def _tap(self, direction: str) -> Callable[[bytes], list[bytes]]:
        def tap(frame: bytes) -> list[bytes]:
            self.frames.append((direction, frame))
            return [frame]

        return tap


def sent(direction: str, frame: bytes) -> Iterator[Entry]:
    """What a frame carries, read from its own bytes."""
    _, _, type_, header_bytes, *_ = PREFIX.unpack_from(frame)
    if type_ == FrameType.DATA:
        header = json.loads(frame[PREFIX.size : PREFIX.size + header_bytes])
        kind, phase = header["kind"], header["at"][2]
        yield direction, kind, phase, ""
        for name in [*header["body"], *map(family, (entry[0] for entry in header["tensors"]))]:
            yield direction, kind, phase, name


def family(name: str) -> str:
    """An adapter's tensors and their moments are declared together."""
    return MOMENTS if SEPARATOR in name else ENDS if ".lora_" in name else name


def declared(config: RunConfig, parties: list[str]) -> set[Entry]:
    """Everything that the run's flows send between the halves."""
    found: set[Entry] = set()
    named = {Content.ENDS: ENDS, Content.MASKED_ENDS: ENDS, Content.MOMENTS: MOMENTS}
    for flow in flows_of(config, Cast(dict.fromkeys(parties, ""))):
        direction = UP if flow.receiver is Part.SERVER else DOWN
        for message in flow.carried:
            names = ["", *message.fields, *(named.get(tensor.content, tensor.name) for tensor in message.tensors)]
            found |= {(direction, str(message.kind), str(message.phase), name) for name in names}
    return found
