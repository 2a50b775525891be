"""Evaluation through the split pipeline: loss on held-out rows, and greedy answers to public prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import save_file

from splitcore.adapters.lora import without_dropout
from splitcore.boundary.stages import At
from splitcore.control.controller import Controller
from splitcore.control.events import SERVER, EvaluationFinished, SampleWritten
from splitcore.data.batches import Batch, collate, padding_id
from splitcore.data.scores import LEAST_SCORED, Scores
from splitcore.data.task import SequenceTask
from splitcore.data.tokenise import IGNORED, Encoded, encode_prompt, encode_text
from splitcore.optimise.loss import batch_loss_sum, classes_of
from splitcore.run.settings import MAX_SAMPLES
from splitcore.step.client import ClientStep
from splitcore.step.faults import PLACES, Fault
from splitcore.step.greedy import next_tokens
from splitcore.step.link import number, out_of_turn
from splitcore.step.pipeline import uplink
from splitcore.wire.protocol.messages import Kind, Message, Phase


class ClientEvaluation:
    """Evaluates the model between two steps."""

    def __init__(
        self,
        *,
        stepper: ClientStep,
        controller: Controller,
        tokenizer: Any,
        batches: list[Batch],
        prompts: Sequence[str],
        sample_tokens: int,
    ) -> None:
        self._stepper, self._controller, self._tokenizer = stepper, controller, tokenizer
        self._batches = batches
        self._prompts = list(prompts)[:MAX_SAMPLES]
        self._sample_tokens = sample_tokens
        self._canary: dict[str, torch.Tensor] = {}
        self._told: list[tuple[int, int]] = []  # label and answer of each held-out row
        self._fault: Fault | None = None

    def run(self, step: int) -> Fault | None:
        """Evaluate after `step` optimiser steps; does nothing without rows and prompts.

        Returns where a value was not finite, in which case the loss is unavailable or the samples are not written.
        """
        self._fault = None
        if not self._batches and not self._prompts:
            return None
        self._controller.phase("evaluating")
        models = [segment.model for segment in self._stepper.segments]
        with torch.no_grad(), without_dropout(*models):
            if self._batches:
                self._measure(step)
            if self._prompts and self._found() is None:
                self._sample(step)
        return self._found()

    def _found(self) -> Fault | None:
        """Where, at either end, this evaluation's first value that wasn't finite was produced."""
        finite, party = self._stepper.boundary.finite, self._controller.party
        if finite.where is not None:
            self._fault = self._fault or Fault(party, finite.where, party)
            finite.clear()
        return self._fault

    def _measure(self, step: int) -> None:
        start = perf_counter()
        self._told.clear()
        summed = 0.0
        sent = 0
        for index, batch in enumerate(self._batches):
            while sent < len(self._batches) and sent - index < max(2, self._stepper.pipeline.window):
                self._send(step, sent, self._batches[sent])
                sent += 1
            answer = self._answer(step, index)
            summed += self._loss(answer, batch)
        tokens = sum(batch.targets for batch in self._batches)
        loss = None if self._found() else summed / tokens
        seconds = perf_counter() - start
        rows = sum(len(batch.mask_BL) for batch in self._batches)
        found = EvaluationFinished(self._controller.party, step, loss=loss, tokens=tokens, rows=rows, seconds=seconds)
        if loss is not None and len(self._told) >= LEAST_SCORED:
            scores = Scores.of(self._told)
            found = replace(found, accuracy=scores.accuracy, macro_f1=scores.macro_f1)
        self._controller.emit(found)

    def _send(self, step: int, index: int, batch: Batch) -> None:
        at, ends = At(step, index, batch.mask_BL, held_out=batch.rows), self._stepper.ends
        hidden_BLD = ends.head(batch, at).output_BLD
        self._stepper.link.send(
            Kind.ACTIVATIONS,
            step=step,
            micro=index,
            phase=Phase.HEAD_UP,
            evaluation=True,
            tensors=uplink(self._stepper.boundary, batch, at, hidden_BLD, labels=not ends.has_tail),
        )

    def _answer(self, step: int, index: int) -> Message:
        message = self._stepper.inbox.next()
        if not message.evaluation or (message.step, message.micro) != (step, index):
            raise out_of_turn(message)
        where = message.body.get("fault")
        if isinstance(where, str) and where in PLACES:
            self._fault = self._fault or Fault(SERVER, where, self._controller.party)
        return message

    def _logits(self, answer: Message, batch: Batch) -> torch.Tensor:
        ends, at = self._stepper.ends, At(answer.step, answer.micro, batch.mask_BL)
        tail = ends.receiver(Phase.BODY_DOWN)
        return ends.logits(batch, self._stepper.boundary.back(answer, at, device=tail.device, dtype=tail.dtype))

    def _loss(self, answer: Message, batch: Batch) -> float:
        if not self._stepper.ends.has_tail:
            self._note(batch, self._chosen(answer, len(batch.mask_BL)) if batch.is_class else [])
            return number(answer, "loss")
        with self._stepper.clock.stage("tail"):
            logits = self._logits(answer, batch)
            self._note(batch, classes_of(logits, batch.labels_BL) if batch.is_class else [])
            return self._stepper.boundary.finite.number(batch_loss_sum(logits, batch).item(), "loss")

    def _note(self, batch: Batch, told: Sequence[int]) -> None:
        """Keep the labels that were told of a batch of held-out rows."""
        if batch.is_class:
            own = batch.labels_BL[batch.labels_BL != IGNORED].tolist()
            self._told += zip(own, told, strict=True)

    # ---- samples

    def prompt_lengths(self) -> list[int]:
        """Tokens of each hidden state that leaves for the prompts in one evaluation, at most: answers may end early."""
        config = self._stepper.config
        if isinstance(config.data.task, SequenceTask):
            return [len(one.ids) for one in self._prompt_rows()]
        return [
            len(ids) + turn
            for ids in self._prompt_ids()
            for turn in range(self._turns)
            if ids and (turn == 0 or len(ids) + turn < config.training.max_length)
        ]

    @property
    def _turns(self) -> int:
        """Round trips of an evaluation for its prompts, at most."""
        return min(self._sample_tokens, self._stepper.config.training.max_length - 1)

    def _prompt_rows(self) -> list[Encoded]:
        """The prompts whose label is to be told."""
        most = self._stepper.config.training.max_length
        return [encode_text(prompt, self._tokenizer, most) for prompt in self._prompts]

    def _prompt_ids(self) -> list[list[int]]:
        """The prompts that are to be answered, with room for the answers."""
        config = self._stepper.config
        longest = max(1, config.training.max_length - self._sample_tokens)
        return [encode_prompt(prompt, self._tokenizer, config.data)[:longest] for prompt in self._prompts]

    def _sample(self, step: int) -> None:
        """The answers to the prompts: a text each, or a label."""
        task = self._stepper.config.data.task
        if isinstance(task, SequenceTask):
            self._sample_labels(step, task)
        else:
            self._sample_texts(step)

    def _sample_labels(self, step: int, task: SequenceTask) -> None:
        """The label that is told of each prompt, all in one round trip. The one that the batch bears is no prompt's."""
        batch = self._collate(self._prompt_rows())
        self._send(step, 0, batch)
        answer = self._answer(step, 0)
        if self._stepper.ends.has_tail:
            chosen = classes_of(self._logits(answer, batch), batch.labels_BL)
        else:
            chosen = self._chosen(answer, len(self._prompts))
        if self._found() is not None:
            return
        for index, (prompt, place) in enumerate(zip(self._prompts, chosen, strict=True)):
            text = task.labels[place]
            self._controller.emit(SampleWritten(self._controller.party, step, index=index, prompt=prompt, text=text))

    def _sample_texts(self, step: int) -> None:
        """Greedy answers: one token per round trip for all prompts together, without a cache of past tokens."""
        config = self._stepper.config
        texts = self._prompt_ids()
        answers: list[list[int]] = [[] for _ in texts]
        open_ = {index for index, ids in enumerate(texts) if ids}
        end = self._tokenizer.eos_token_id
        for turn in range(self._turns):
            if not open_:
                break
            rows = [texts[index] + answers[index] for index in sorted(open_)]
            for index, token in zip(sorted(open_), self._next_tokens(step, turn, rows), strict=True):
                if token == end or len(texts[index]) + len(answers[index]) + 1 >= config.training.max_length:
                    open_.discard(index)
                else:
                    answers[index].append(token)
        if self._found() is not None:
            return
        for index, (prompt, ids) in enumerate(zip(self._prompts, answers, strict=True)):
            text = str(self._tokenizer.decode(ids, skip_special_tokens=True))
            self._controller.emit(SampleWritten(self._controller.party, step, index=index, prompt=prompt, text=text))

    def _next_tokens(self, step: int, turn: int, rows: list[list[int]]) -> list[int]:
        """The most likely next token of each row."""
        encoded = [Encoded(tuple(ids), (IGNORED,) * len(ids)) for ids in rows]
        batch = self._collate(encoded)
        self._send(step, turn, batch)
        answer = self._answer(step, turn)
        if not self._stepper.ends.has_tail:
            return self._chosen(answer, len(rows))
        logits_BLV = self._logits(answer, batch)
        if turn == 0:
            self._canary = {"input_ids": batch.ids_BL, "attention_mask": batch.mask_BL, "logits": logits_BLV.float()}
        return next_tokens(logits_BLV, batch.mask_BL)

    def _collate(self, rows: Sequence[Encoded]) -> Batch:
        return collate(rows, padding=padding_id(self._tokenizer), device=str(self._stepper.segments[0].device))

    def _chosen(self, answer: Message, count: int) -> list[int]:
        """What the half with the output head chose for so many rows: tokens, or labels. Raises AppError CL-1505."""
        found, classes = answer.body.get("next"), self._stepper.config.data.task.classes
        most = classes or self._stepper.plan.model_config.get_text_config(decoder=True).vocab_size
        if not isinstance(found, list) or len(found) != count:
            raise out_of_turn(answer)
        chosen = [one for one in found if isinstance(one, int) and type(one) is int and 0 <= one < most]
        if len(chosen) < count:
            raise out_of_turn(answer)
        return chosen

    def save_canary(self, path: Path) -> None:
        """Store the split model's logits on the public prompts, to compare them with the joined adapter's."""
        if self._canary:
            save_file({name: tensor.cpu().contiguous() for name, tensor in self._canary.items()}, path)
