"""A recorded training read by an observer: its tensors are those that crossed, and each row's text is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from splitcore.attacks import interface
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.transcript import Crossing, Transcript
from splitcore.audit import ceiling
from splitcore.audit.capture import PARTY, Capture, capture, plan_of
from splitcore.data.tokenise import IGNORED
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
FROZEN = {"lora": {"train_head": False}}
ROWS = 8


def captured(model: Path, folder: Path, *, epochs: int = 1, **changes: Any) -> tuple[Capture, Transcript, Knowledge]:
    taken = capture(run_config(model, **changes), rows(ROWS), folder, epochs=epochs)
    plan = plan_of(taken.config)
    return taken, TranscriptReader(plan, PARTY).read(taken.recording), Knowledge(plan, PARTY)


def ids_of(taken: Capture, crossing: Crossing) -> torch.Tensor:
    return taken.rows[crossing.step, crossing.micro, crossing.place].ids_N


@pytest.mark.parametrize("wire", [{}, {"skip_padding": True}], ids=["padded", "packed"])
def test_each_row_crosses_once_an_epoch_with_its_own_hidden_states_output_and_gradients(
    model: Model, tmp_path: Path, wire: dict[str, Any]
) -> None:
    taken, transcript, knowledge = captured(model("llama"), tmp_path, wire=wire, lora={"train_head": True})
    assert len(transcript.crossings) == ROWS == len({row.number for row in taken.rows.values()})
    for crossing in transcript.crossings:
        shape = (len(ids_of(taken, crossing)), knowledge.width)
        for tensor_ND in (crossing.hidden_ND, crossing.output_ND, crossing.gradient_ND, crossing.returned_ND):
            assert tensor_ND is not None
            assert tensor_ND.shape == shape
    first = [crossing for crossing in transcript.crossings if not crossing.step]  # before the head has changed
    public = knowledge.released([ids_of(taken, crossing) for crossing in first])
    for crossing, released_ND in zip(first, public, strict=True):
        assert torch.allclose(crossing.hidden_ND, released_ND, atol=1e-5)


def test_what_a_cache_spares_is_read_from_what_crossed_before(model: Model, tmp_path: Path) -> None:
    changes = {**FROZEN, "training": {"cache_activations": True}}
    taken, transcript, knowledge = captured(model("llama"), tmp_path, epochs=2, **changes)
    assert len(transcript.crossings) == 2 * ROWS
    public = knowledge.released([ids_of(taken, crossing) for crossing in transcript.crossings])
    for crossing, released_ND in zip(transcript.crossings, public, strict=True):
        assert torch.allclose(crossing.hidden_ND, released_ND, atol=1e-5)


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_a_codec_is_undone_as_the_compute_party_undoes_it(model: Model, tmp_path: Path, name: str) -> None:
    wire = {"activations": name, "changes": "ternary"}
    taken, transcript, knowledge = captured(model("llama"), tmp_path, epochs=2, wire=wire, **FROZEN)
    public = knowledge.released([ids_of(taken, crossing) for crossing in transcript.crossings])
    for crossing, released_ND in zip(transcript.crossings, public, strict=True):
        assert float((crossing.hidden_ND - released_ND).norm() / released_ND.norm()) < 0.2


def test_what_the_halves_tell_each_other_of_a_step_is_read_too(model: Model, tmp_path: Path) -> None:
    taken, transcript, _ = captured(model("llama"), tmp_path)
    targets = Counter[int]()
    for (step, _, _), row in taken.rows.items():
        targets[step] += int((row.labels_N[1:] != IGNORED).sum())
    assert transcript.steps == taken.config.training.steps == len(targets)
    assert {step: told.tokens for step, told in transcript.told.items()} == targets
    assert all(told.norm for told in transcript.told.values())


def test_a_recording_is_read_on_the_cpu_where_there_is_a_gpu_too(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert plan_of(run_config(model("llama"))).device == "cpu"


def test_of_the_observer_s_text_so_much_is_used_as_memory_allows(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, text = plan_of(run_config(model("llama"))), [torch.arange(5)] * 10
    knowledge = Knowledge(plan, PARTY, auxiliary=text)
    for module in (interface, ceiling):
        monkeypatch.setattr(module, "VALUES", 6 * 5 * knowledge.width)
    assert [len(knowledge.own_text(releases=releases)) for releases in (1, 2, 9)] == [6, 3, 2]
    assert len(ceiling.within_memory([ids_N.tolist() for ids_N in text], plan)) == 6


def test_a_recording_of_another_run_is_refused(model: Model, tmp_path: Path) -> None:
    taken = capture(run_config(model("llama")), rows(ROWS), tmp_path, epochs=1)
    other = plan_of(run_config(model("gpt2")))
    with pytest.raises(Exception, match="CL-13"):
        TranscriptReader(other, PARTY).read(taken.recording)
