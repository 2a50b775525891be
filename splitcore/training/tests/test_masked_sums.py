"""Runs whose head and tail are summed under masks: the same adapter as without, and nothing but sums at the server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import splitcore
from splitcore.boundary.finite import Finite
from splitcore.control.events import SERVER, Event, NonFinite, StepFinished
from splitcore.errors import AppError
from splitcore.launch import threads
from splitcore.masking import masks
from splitcore.masking.agreement import MaskKey, Signatory
from splitcore.masking.fixed_point import RANGE
from splitcore.masking.tests.reading import is_uniform, readable
from splitcore.masking.tests.test_masks import MUTANTS
from splitcore.models.tests.tiny import rows
from splitcore.step import client
from splitcore.step.link import Link
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_flows_of_a_run import UP, Taps
from splitcore.training.tests.test_parties import difference
from splitcore.wire.protocol.frames import PREFIX, FrameType
from splitcore.wire.protocol.messages import Kind
from splitcore.wire.transport.certificates import create_identity

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket"), "c": rows(6, word="a case")}
MASKED = {"sums": "masked"}
NAN = {"source": SERVER, "where": "body", "rows": ""}  # what is told of a step that is applied nowhere
TOLERANCE = 1e-6  # of each number of the adapter after the run
SUMMING: list[tuple[str, dict[str, Any]]] = [
    ("u_shape", {"name": "parallel"}),
    ("vanilla", {"name": "parallel", "group_clients": True}),
    ("u_shape", {"name": "parallel", "straggler": "pause", "deadline_factor": 100}),
    ("u_shape", {"name": "parallel", "aggregate_every": 2}),
    ("u_shape", {"name": "splitfed_v1", "aggregate_every": 3}),
    ("vanilla", {"name": "splitfed_v1"}),
]


@pytest.mark.parametrize(("topology", "schedule"), SUMMING)
@pytest.mark.parametrize("parties", [2, 3])
def test_the_adapter_is_that_of_the_unmasked_run(
    model: Model, tmp_path: Path, topology: str, schedule: dict[str, Any], parties: int
) -> None:
    shards = dict(list(SHARDS.items())[:parties])
    training = {"steps": 4, "micro_batches": 2, "eval_every": 2}
    changes = {"training": training, "schedule": schedule, "split": {"topology": topology}}
    plain = run_config(model("llama"), **changes)
    masked = run_config(model("llama"), **changes, privacy=MASKED)
    splitcore.fine_tune(plain, shards, out=tmp_path / "plain")
    splitcore.fine_tune(masked, shards, out=tmp_path / "masked")
    assert difference(tmp_path / "plain" / "adapter", tmp_path / "masked" / "adapter") < TOLERANCE


def uploaded(frames: list[tuple[str, bytes]]) -> list[list[dict[str, torch.Tensor]]]:
    """From the frames themselves: the adapter tensors of each step, a party each."""
    found: dict[int, list[dict[str, torch.Tensor]]] = {}
    for direction, frame in frames:
        _, _, type_, size, *_ = PREFIX.unpack_from(frame)
        if direction != UP or type_ != FrameType.DATA:
            continue
        header = json.loads(frame[PREFIX.size : PREFIX.size + size])
        if header["kind"] not in ("adapter_gradients", "adapter_weights"):
            continue
        at, part = PREFIX.size + size, {}
        for name, codec, _, (nbytes,) in header["tensors"]:
            assert codec == "i64"
            part[name] = torch.from_numpy(np.frombuffer(frame[at : at + nbytes], "<i8").copy())
            at += nbytes
        found.setdefault(header["at"][0], []).append(part)
    return [found[step] for step in sorted(found)]


def sum_of(parts: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """The sum over the parties, as the server half adds it up."""
    return torch.stack([torch.cat([part[name] for name in sorted(part)]) for part in parts]).sum(0)


@pytest.fixture
def taps(monkeypatch: pytest.MonkeyPatch) -> Taps:
    """Every frame between the halves of a run in this process."""
    found = Taps()
    monkeypatch.setattr(threads, "memory_pair", found.pair)
    return found


def summed_run(folder: Path, out: Path, **schedule: Any) -> None:
    """Three parties with adapters of rank 16, whose numbers are enough to be looked at."""
    training = {"steps": 3, "eval_every": 0}
    config = run_config(
        folder, lora={"rank": 16}, training=training, privacy=MASKED, schedule={"name": "parallel", **schedule}
    )
    splitcore.fine_tune(config, SHARDS, out=out)


@pytest.mark.parametrize("schedule", [{}, {"name": "splitfed_v1"}])
def test_whoever_has_every_frame_of_the_server_half_reads_nothing_but_the_sum(
    model: Model, tmp_path: Path, taps: Taps, schedule: dict[str, Any]
) -> None:
    summed_run(model("llama"), tmp_path, **schedule)
    steps = uploaded(taps.frames)
    assert [len(parts) for parts in steps] == [3, 3, 3]
    assert readable(steps) == []


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_run_whose_masks_hide_less_is_found_out(
    model: Model, tmp_path: Path, taps: Taps, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    monkeypatch.setattr(masks, "_stream", MUTANTS[mutant](masks._stream))
    summed_run(model("llama"), tmp_path)
    assert readable(uploaded(taps.frames))


class InterruptionError(Exception):
    """The listener's end."""


@pytest.mark.parametrize("schedule", [{"name": "parallel"}, {"name": "splitfed_v1", "aggregate_every": 2}])
def test_a_run_that_broke_off_goes_on_under_new_masks_and_no_key_is_used_for_two_things(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: dict[str, Any]
) -> None:
    drawn: Counter[tuple[bytes, bytes]] = Counter()
    real = masks._stream

    def counted(secret: bytes, place: bytes) -> Any:
        drawn[secret, place] += 1
        return real(secret, place)

    monkeypatch.setattr(masks, "_stream", counted)
    training = {"steps": 6, "checkpoint_every": 2, "eval_every": 0}
    config = run_config(model("llama"), training=training, schedule=schedule, privacy=MASKED)
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "whole")
    rounds = 6 if schedule["name"] == "parallel" else 3
    assert len(drawn) == 3 * rounds  # a key for each pair and round
    assert set(drawn.values()) == {2}  # drawn by both parties of the pair, once each
    drawn.clear()

    def interrupt(event: Event) -> None:
        if isinstance(event, StepFinished) and (event.party, event.step) == (SERVER, 5):
            raise InterruptionError

    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, SHARDS, out=tmp_path / "broken", on_event=interrupt)
    before = set(drawn)
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "broken", resume=True)
    steps = sorted(int(place.split(b"\0")[1]) for secret, place in set(drawn) - before)
    assert steps[0] == (4 if schedule["name"] == "parallel" else 5)  # step 4 was masked before, too
    assert not {secret for secret, _ in before} & {secret for secret, _ in set(drawn) - before}
    assert max(drawn.values()) == 2
    assert difference(tmp_path / "whole" / "adapter", tmp_path / "broken" / "adapter") == 0.0


def test_a_server_half_that_puts_its_own_key_between_two_parties_is_refused_and_gets_no_gradient(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taps: Taps
) -> None:
    send = Link.send
    server = create_identity("server")

    def sent(self: Link, kind: Kind, **parts: Any) -> None:
        if kind is Kind.MASK_KEYS and self._controller.party == SERVER:
            keys = parts["tensors"]["keys"][0].clone()
            own = MaskKey("b", list(SHARDS), context=b"").signed(Signatory(server.sign, {}))
            keys[1] = torch.tensor(list(own), dtype=torch.uint8)
            parts["tensors"] = {"keys": (keys, "u8")}
        send(self, kind, **parts)

    monkeypatch.setattr(Link, "send", sent)
    with pytest.raises(AppError) as caught:
        summed_run(model("llama"), tmp_path)
    assert caught.value.code == "CL-1538"
    assert uploaded(taps.frames) == []


def test_a_gradient_that_does_not_fit_is_refused_before_it_leaves(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taps: Taps
) -> None:
    real = Finite.checked

    def grown(self: Finite, tensor: torch.Tensor, where: str) -> torch.Tensor:
        found = real(self, tensor, where)
        return found + RANGE / 3 if where == "gradient" else found

    monkeypatch.setattr(Finite, "checked", grown)
    with pytest.raises(AppError) as caught:
        summed_run(model("llama"), tmp_path)
    assert caught.value.code == "CL-1537"
    assert uploaded(taps.frames) == []


def test_a_gradient_that_is_not_finite_is_told_and_the_step_applied_nowhere(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Finite.checked
    broken: list[str] = []

    def once(self: Finite, tensor: torch.Tensor, where: str) -> torch.Tensor:
        if where == "gradient" and not broken:
            broken.append(where)
            tensor = torch.full_like(tensor, float("nan"))
        return real(self, tensor, where)

    monkeypatch.setattr(Finite, "checked", once)
    faults: list[Any] = []

    def note(event: Event) -> None:
        faults.extend([event.step] if isinstance(event, NonFinite) else [])

    config = run_config(model("llama"), training={"steps": 2, "eval_every": 0}, privacy=MASKED)
    splitcore.fine_tune(config, SHARDS, out=tmp_path, on_event=note)
    assert set(faults) == {1}


def test_masks_and_steps_without_a_late_party_exclude_each_other(model: Model) -> None:
    with pytest.raises(AppError, match="CL-1001") as caught:
        run_config(model("llama"), schedule={"name": "parallel", "straggler": "continue"}, privacy=MASKED)
    assert "excludes privacy.sums masked" in caught.value.message


@pytest.mark.parametrize(("topology", "optimiser"), [("u_shape", "adamw"), ("vanilla", "sgd")])
def test_adapters_that_are_handed_on_encrypted_give_the_very_same_adapter(
    model: Model, tmp_path: Path, taps: Taps, topology: str, optimiser: str
) -> None:
    training = {"steps": 6, "eval_every": 2, "optimiser": optimiser}
    schedule = {"name": "sequential", "turn_steps": 2}
    for sums in ("plain", "masked"):
        config = run_config(
            model("llama"), training=training, schedule=schedule, split={"topology": topology}, privacy={"sums": sums}
        )
        taps.frames.clear()
        splitcore.fine_tune(config, SHARDS, out=tmp_path / sums, eval_rows=dict.fromkeys(SHARDS, rows(3)))
    assert difference(tmp_path / "plain" / "adapter", tmp_path / "masked" / "adapter") == 0.0
    names = {
        name
        for _, frame in taps.frames
        if PREFIX.unpack_from(frame)[2] == FrameType.DATA
        for name, *_ in json.loads(frame[PREFIX.size : PREFIX.size + PREFIX.unpack_from(frame)[3]])["tensors"]
    }
    assert "sealed" in names
    assert not [name for name in names if ".lora_" in name]


def test_a_handed_on_adapter_that_the_server_half_alters_is_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Link.send

    def sent(self: Link, kind: Kind, **parts: Any) -> None:
        if kind is Kind.SEALED_ADAPTER and self._controller.party == SERVER:
            changed = torch.frombuffer(bytearray(b"".join(parts["tensors"]["sealed"].buffers)), dtype=torch.uint8)
            changed[7] ^= 1
            parts["tensors"] = {"sealed": (changed, "u8")}
        send(self, kind, **parts)

    monkeypatch.setattr(Link, "send", sent)
    config = run_config(
        model("llama"), training={"steps": 3, "eval_every": 0}, schedule={"name": "sequential"}, privacy=MASKED
    )
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(config, SHARDS, out=tmp_path)
    assert caught.value.code == "CL-1539"


def test_a_handed_on_adapter_without_its_moments_is_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client.handed_over
    monkeypatch.setattr(client, "handed_over", lambda *given, moments: real(*given, moments=False))
    config = run_config(
        model("llama"), training={"steps": 3, "eval_every": 0}, schedule={"name": "sequential"}, privacy=MASKED
    )
    with pytest.raises(AppError, match="lacks the optimiser's moments") as caught:
        splitcore.fine_tune(config, SHARDS, out=tmp_path)
    assert (caught.value.code, caught.value.details) == ("CL-1539", {"party": "a"})


def test_a_handed_on_adapter_whose_optimiser_has_never_stepped_has_no_moments(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, checked = Finite.checked, list[str]()

    def once(self: Finite, tensor: torch.Tensor, where: str) -> torch.Tensor:
        checked.append(where)
        return real(self, torch.full_like(tensor, float("nan")) if len(checked) == 1 else tensor, where)

    monkeypatch.setattr(Finite, "checked", once)
    for sums in ("plain", "masked"):
        checked.clear()
        config = run_config(
            model("llama"),
            training={"steps": 4, "eval_every": 0},
            schedule={"name": "sequential"},
            privacy={"sums": sums},
        )
        splitcore.fine_tune(config, SHARDS, out=tmp_path / sums)
    assert difference(tmp_path / "plain" / "adapter", tmp_path / "masked" / "adapter") == 0.0


@pytest.mark.parametrize("told", ["norm", "where"])
def test_a_server_half_that_tells_parties_different_things_beside_the_sum_reads_nothing_afterwards(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taps: Taps, told: str
) -> None:
    send = Link.send

    def sent(self: Link, kind: Kind, **parts: Any) -> None:
        if kind is Kind.AGGREGATE and self._controller.party == SERVER and parts["step"] == 0 and not lied:
            lied.append(told)
            other = {"norm": parts["body"]["norm"] * 2} if told == "norm" else NAN
            parts["body"] = parts["body"] | other
        send(self, kind, **parts)

    lied: list[str] = []
    monkeypatch.setattr(Link, "send", sent)
    summed_run(model("llama"), tmp_path)
    assert [is_uniform(sum_of(parts)) for parts in uploaded(taps.frames)] == [False, True, True]
