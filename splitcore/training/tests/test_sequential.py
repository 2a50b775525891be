"""Clients in turn: equal to one model that sees the clients' batches in that order, or to one model a client.

Shapes: B rows of a micro-batch, L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import splitcore
from splitcore.config import RunConfig
from splitcore.config.length import total_steps
from splitcore.control.events import EvaluationFinished, Event, StepFinished
from splitcore.data.batches import Batch, collate, padding_id
from splitcore.data.sampling import Sampler, cut
from splitcore.data.tokenise import Encoded, encode_rows
from splitcore.models.loading import read_tokenizer
from splitcore.models.tests.tiny import rows
from splitcore.optimise.loss import loss_sum
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket"), "c": rows(6, word="case")}
SEQUENTIAL = {"mode": "sequential", "turn_steps": 2}
BODY = {"u_shape": (1, 2), "vanilla": (1, 2, 3, 4)}  # layers that the server half holds


@pytest.mark.parametrize(
    ("topology", "transport", "optimiser"),
    [
        ("u_shape", "memory", "adamw"),
        ("vanilla", "memory", "sgd"),
        pytest.param("u_shape", "grpc", "adamw", marks=pytest.mark.integration),
    ],
)
def test_relayed_turns_equal_the_unsplit_run_over_the_same_batches_to_the_last_bit(
    model: Model, tmp_path: Path, topology: str, transport: str, optimiser: str
) -> None:
    config = run_config(
        model("llama"),
        split={"topology": topology},
        training={"steps": 9, "micro_batches": 2, "eval_every": 3, "optimiser": optimiser},
        schedule=SEQUENTIAL,
    )
    events: list[Event] = []
    whole = splitcore.fine_tune_unsplit(config, SHARDS, out=tmp_path / "unsplit", eval_rows=rows(3))
    split = splitcore.fine_tune(
        config,
        SHARDS,
        out=tmp_path / "split",
        eval_rows=dict.fromkeys(SHARDS, rows(3)),
        transport=transport,  # type: ignore[arg-type]
        on_event=events.append,
    )
    assert difference(tmp_path / "split" / "adapter", tmp_path / "unsplit" / "adapter") == 0.0
    assert split.train_losses == whole.train_losses
    assert [len(losses) for losses in split.train_losses.values()] == [4, 3, 2]
    measured = {(event.party, event.step): event.loss for event in events if isinstance(event, EvaluationFinished)}
    assert measured == {(party, step): loss for party in SHARDS for step, loss in whole.eval_losses}
    turns = {
        (e.party, e.step): e.loss is not None for e in events if isinstance(e, StepFinished) and e.party != "server"
    }
    assert turns == {(p, s + 1): "abc"[s // 2 % 3] == p for p in SHARDS for s in range(9)}
    for party in ("b", "c"):
        assert difference(tmp_path / "split/segments/a/head", tmp_path / f"split/segments/{party}/head") == 0.0


class WholeModels:
    """A whole model for each party, by plain PEFT: in all of them the body's LoRA matrices are the same objects.

    One AdamW steps the body in every step, one for each party its head and tail in that party's own.
    """

    def __init__(self, config: RunConfig, initial: Path, layers: Sequence[int]) -> None:
        """`initial`: a PEFT folder, with which every party begins. `layers`: those of the body."""
        folder = config.model.name_or_path
        self._config, self._tokenizer = config, read_tokenizer(Path(folder))
        self._models = {
            party: PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), initial, is_trainable=True)
            for party in SHARDS
        }
        first = next(iter(self._models.values()))
        body = {
            name: value
            for name, value in first.named_parameters()
            if value.requires_grad and any(f".layers.{layer}." in name for layer in layers)
        }
        for model in self._models.values():
            for name, parameter in body.items():
                path, _, key = name.rpartition(".")
                model.get_submodule(path).register_parameter(key, parameter)
        self._body = self._adamw(list(body.values()))
        self._ends = {
            party: self._adamw([p for name, p in model.named_parameters() if p.requires_grad and name not in body])
            for party, model in self._models.items()
        }
        self.train_losses: dict[str, list[float]] = {party: [] for party in SHARDS}
        self.measured: dict[tuple[str, int], float] = {}

    def _adamw(self, parameters: list[torch.Tensor]) -> torch.optim.AdamW:
        training = self._config.training
        return torch.optim.AdamW(parameters, lr=training.learning_rate, weight_decay=training.weight_decay)

    def train(self, steps: int, turn: int) -> None:
        training, parties = self._config.training, list(SHARDS)
        encoded = {party: self._encode(SHARDS[party]) for party in parties}
        samplers = {
            party: Sampler(len(encoded[party]), training.batch_size, seed=training.seed, party=party, shuffle=True)
            for party in parties
        }
        self._measure(0)
        for step in range(steps):
            party = parties[step // turn % len(parties)]
            batch = [encoded[party][row] for row in samplers[party].batch(len(self.train_losses[party]))]
            self._step(party, [self._collate(part) for part in cut(batch, training.micro_batches)])
            if (step + 1) % training.eval_every == 0:
                self._measure(step + 1)

    def _step(self, party: str, batches: list[Batch]) -> None:
        tokens, summed = sum(batch.targets for batch in batches), 0.0
        for batch in batches:
            loss = self._loss(party, batch)
            torch.autograd.backward(loss / tokens)
            summed += loss.item()
        self.train_losses[party].append(summed / tokens)
        torch.nn.utils.clip_grad_norm_(self._models[party].parameters(), self._config.training.clip_norm or 0.0)
        for optimiser in (self._body, self._ends[party]):
            optimiser.step()
            optimiser.zero_grad()

    @torch.no_grad()
    def _measure(self, step: int) -> None:
        held_out = self._encode(rows(2))
        batch = self._collate(held_out)
        for party in SHARDS:
            self.measured[party, step] = self._loss(party, batch).item() / batch.targets

    def _loss(self, party: str, batch: Batch) -> torch.Tensor:
        logits_BLV = self._models[party](input_ids=batch.ids_BL, attention_mask=batch.mask_BL, use_cache=False).logits
        return loss_sum(logits_BLV, batch.labels_BL)

    def _encode(self, given: list[dict[str, str]]) -> list[Encoded]:
        return encode_rows(given, self._tokenizer, self._config.data, self._config.training.max_length)

    def _collate(self, given: list[Encoded]) -> Batch:
        return collate(given, padding=padding_id(self._tokenizer))

    def difference(self, party: str, adapter: Path) -> float:
        """The largest difference between a party's adapter and one in a folder."""
        ours, theirs = get_peft_model_state_dict(self._models[party]), load_file(adapter / "adapter_model.safetensors")
        assert ours.keys() == theirs.keys()
        return max(float((ours[name] - theirs[name]).abs().max()) for name in theirs)


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_turns_without_relay_equal_whole_models_that_share_their_body_to_the_last_bit(
    model: Model, tmp_path: Path, topology: str
) -> None:
    config = run_config(
        model("llama"),
        split={"topology": topology},
        training={"steps": 9, "micro_batches": 2, "eval_every": 3},
        schedule={**SEQUENTIAL, "relay": False},
    )
    events: list[Event] = []
    held_out = dict.fromkeys(SHARDS, rows(2))
    split = splitcore.fine_tune(config, SHARDS, out=tmp_path, eval_rows=held_out, on_event=events.append)
    whole = WholeModels(config, tmp_path / "initial_adapter", BODY[topology])
    whole.train(steps=9, turn=2)
    assert {party: whole.difference(party, tmp_path / "adapters" / party) for party in SHARDS} == dict.fromkeys(
        SHARDS, 0.0
    )
    assert split.train_losses == whole.train_losses
    measured = {(event.party, event.step): event.loss for event in events if isinstance(event, EvaluationFinished)}
    assert measured == whole.measured
    assert difference(tmp_path / "adapters" / "a", tmp_path / "adapters" / "b") > 1e-3


def test_the_turns_and_each_partys_own_count_follow_the_contracts_order() -> None:
    schedule = run_config(Path("m"), schedule=SEQUENTIAL).schedule
    assert [schedule.turn(3, step) for step in range(8)] == [0, 0, 1, 1, 2, 2, 0, 0]
    for place in range(3):
        had = [sum(schedule.turn(3, before) == place for before in range(step)) for step in range(14)]
        assert [schedule.own_steps(3, place, step) for step in range(14)] == had


@pytest.mark.parametrize(("mode", "steps"), [("parallel", 15), ("sequential", 32)])
def test_epochs_count_the_largest_dataset(mode: str, steps: int) -> None:
    training = {"steps": None, "epochs": 2, "batch_size": 4}
    config = run_config(Path("m"), training=training, schedule={"mode": mode, "turn_steps": 2})
    assert total_steps(config, [10, 30], [4, 4]) == steps
