"""The comparison: the same training with ordinary PEFT on the whole model, in one process."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from peft import get_peft_model
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from splitcore.adapters.lora import (
    adapter_layout,
    adapter_parameters,
    config_dict,
    initialise,
    lora_config,
    prepare_for_training,
    weights_bytes,
    without_dropout,
)
from splitcore.adapters.segments import CONFIG, PREFIX, WEIGHTS, json_bytes, write_folder
from splitcore.config import RunConfig
from splitcore.config.length import evaluates_at, total_steps
from splitcore.data.batches import Batch, collate, padding_id
from splitcore.data.sampling import Sampler, cut
from splitcore.data.scores import Scores
from splitcore.data.tokenise import IGNORED, Encoded, encode_rows
from splitcore.errors import AppError
from splitcore.models.carve import find_layers, layer_count
from splitcore.models.classifier import classifier_config
from splitcore.models.loading import load_whole, locate, read_config, read_tokenizer
from splitcore.models.recompute import recompute_layers
from splitcore.optimise.loss import loss_sum
from splitcore.optimise.norms import norms_vector, total_norm
from splitcore.optimise.optimiser import Optimiser
from splitcore.optimise.update import update
from splitcore.run.plan import check_parties, frozen_layers
from splitcore.training.halves import micro_rows, public_name

Rows = Sequence[Mapping[str, Any]]


class UnsplitRun:
    """Central training on every party's rows: each step holds all parties' micro-batches, party by party.

    Of a sequential run, each step holds those of the party whose turn it is.
    """

    def __init__(
        self, config: RunConfig, shards: Mapping[str, Rows], out: Path, eval_rows: Rows, initial: Path | None = None
    ) -> None:
        """`initial`: a PEFT folder whose weights it begins with, in place of those from the seed."""
        check_parties(config, list(shards))
        self._config, self._parties, self._out = config, list(shards), out
        folder = locate(config.model.name_or_path, revision=config.model.revision)
        self._tokenizer: Any = read_tokenizer(folder)
        self._encoded = {party: self._encode(rows) for party, rows in shards.items()}
        if not all(self._encoded.values()):
            raise AppError("CL-1205")
        self._held_out = self._encode(eval_rows)
        classes = config.data.task.classes
        self._layout = adapter_layout(
            classifier_config(read_config(folder), classes), config.lora, frozen_layers(config)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = lora_config(self._layout, config.lora, config.model)
            self._model: nn.Module = get_peft_model(load_whole(folder, config.model, classes=classes), settings)
        prepare_for_training(self._model)
        initialise(self._model, config.training.seed)
        if config.training.gradient_checkpointing:
            layers = find_layers(self._model, layer_count(read_config(folder)))[1]
            recompute_layers(layers, draws=config.lora.dropout > 0)
        self._parameters = dict(adapter_parameters(self._model))
        if initial is not None:
            given = load_file(initial / WEIGHTS)
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(given[PREFIX + name])
        self.train_losses: dict[str, list[float]] = {party: [] for party in shards}
        self.eval_losses: list[tuple[int, float]] = []
        self.eval_scores: list[tuple[int, Scores]] = []
        self._told: list[tuple[int, int]] = []  # label and answer of each row that was evaluated last
        self.seconds: dict[str, float] = {}

    def _encode(self, rows: Rows) -> list[Encoded]:
        return encode_rows(rows, self._tokenizer, self._config.data, self._config.training.max_length)

    def _collate(self, rows: Sequence[Encoded]) -> Batch:
        return collate(rows, padding=padding_id(self._tokenizer))

    def run(self) -> None:
        """Train, evaluating at the same steps as the split run, and write both adapters."""
        start = perf_counter()
        training = self._config.training
        sizes = {party: self._config.for_party(party).training.batch_size for party in self._parties}
        total = total_steps(self._config, [len(self._encoded[p]) for p in self._parties], list(sizes.values()))
        samplers = {
            party: Sampler(len(rows), sizes[party], seed=training.seed, party=party, shuffle=training.shuffle)
            for party, rows in self._encoded.items()
        }
        optimiser = Optimiser(self._parameters, training, total)
        self._write("initial_adapter")
        for step in range(total):
            self._evaluate(step, total)
            self._step(step, samplers, optimiser)
        self._evaluate(total, total)
        self._write("adapter")
        self.seconds["total"] = perf_counter() - start

    def _step(self, step: int, samplers: Mapping[str, Sampler], optimiser: Optimiser) -> None:
        parts = self._config.training.micro_batches
        batches = {
            party: [self._collate(part) for part in cut(self._rows_of(party, samplers[party], step), parts)]
            for party in self._taking_part(step)
        }
        tokens = sum(batch.targets for share in batches.values() for batch in share)
        for party, share in batches.items():
            summed = sum(self._backward(batch, tokens) for batch in share)
            self.train_losses[party].append(summed / sum(batch.targets for batch in share))
        gradients = {name: parameter.grad for name, parameter in self._parameters.items()}
        norm, clip_norm = total_norm(norms_vector(gradients, gradients)), self._config.training.clip_norm
        update(self._parameters, gradients, norm, optimiser=optimiser, step=step, clip_norm=clip_norm)

    def _taking_part(self, step: int) -> list[str]:
        """The parties of one step: all, or the one whose turn it is."""
        turn = self._config.schedule.turn(len(self._parties), step)
        return self._parties if turn is None else [self._parties[turn]]

    def _rows_of(self, party: str, sampler: Sampler, step: int) -> list[Encoded]:
        own = self._config.schedule.own_steps(len(self._parties), self._parties.index(party), step)
        return [self._encoded[party][index] for index in sampler.batch(own)]

    def _forward(self, batch: Batch) -> torch.Tensor:
        logits = self._model(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, use_cache=False).logits
        if not batch.is_class:
            return loss_sum(logits, batch.labels_BL)
        labels_B = batch.labels_BL[batch.labels_BL != IGNORED]
        self._told += zip(labels_B.tolist(), logits.argmax(dim=-1).tolist(), strict=True)
        return cross_entropy(logits.float(), labels_B, reduction="sum")

    def _backward(self, batch: Batch, tokens: int) -> float:
        summed = self._forward(batch)
        torch.autograd.backward(summed / tokens)
        return summed.item()

    def _evaluate(self, step: int, total: int) -> None:
        if not self._held_out or not evaluates_at(self._config, step, total):
            return
        size = micro_rows(self._config, self._parties[0])
        rows = self._held_out
        batches = [self._collate(rows[start : start + size]) for start in range(0, len(rows), size)]
        self._told.clear()
        with torch.no_grad(), without_dropout(self._model):
            summed = sum(self._forward(batch).item() for batch in batches)
        self.eval_losses.append((step, summed / sum(batch.targets for batch in batches)))
        if self._told:
            self.eval_scores.append((step, Scores.of(self._told)))

    def _write(self, folder: str) -> None:
        model = self._config.model
        model = model.model_copy(update={"name_or_path": public_name(model.name_or_path)})
        config = config_dict(lora_config(self._layout, self._config.lora, model))
        weights = weights_bytes(self._parameters)  # type: ignore[arg-type]
        write_folder(self._out / folder, {WEIGHTS: weights, CONFIG: json_bytes(config)})
