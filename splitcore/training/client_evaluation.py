"""Evaluation through the split pipeline: loss on held-out rows, and greedy answers to public prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import save_file

from splitcore.adapters.lora import without_dropout
from splitcore.data.batches import Batch, collate, padding_id
from splitcore.data.tokenise import IGNORED, Encoded, encode_prompt
from splitcore.training.client_step import ClientStep
from splitcore.training.crossings import Place
from splitcore.training.events import SERVER, EvaluationFinished, SampleWritten
from splitcore.training.finite import PLACES, Fault
from splitcore.training.halves import MAX_SAMPLES, Watch
from splitcore.training.link import number, out_of_turn
from splitcore.training.loss import loss_sum
from splitcore.wire.messages import Kind, Message, Phase


class ClientEvaluation:
    """Measures the model as it stands between two steps."""

    def __init__(
        self,
        *,
        stepper: ClientStep,
        watch: Watch,
        tokenizer: Any,
        batches: list[Batch],
        prompts: Sequence[str],
        sample_tokens: int,
    ) -> None:
        self._stepper, self._watch, self._tokenizer = stepper, watch, tokenizer
        self._batches = batches
        self._prompts = list(prompts)[:MAX_SAMPLES]
        self._sample_tokens = sample_tokens
        self._canary: dict[str, torch.Tensor] = {}
        self._fault: Fault | None = None

    def run(self, step: int) -> Fault | None:
        """Evaluate after `step` optimiser steps; does nothing without rows and prompts.

        Returns where a value was not finite: its loss is not available then, or its samples are not written.
        """
        self._fault = None
        if not self._batches and not self._prompts:
            return None
        self._watch.phase("evaluating")
        models = [segment.model for segment in (self._stepper.head, self._stepper.tail) if segment is not None]
        with torch.no_grad(), without_dropout(*models):
            if self._batches:
                self._measure(step)
            if self._prompts and self._found() is None:
                self._sample(step)
        return self._found()

    def _found(self) -> Fault | None:
        """Where the first value of this evaluation that was not finite was made, at either end."""
        finite, party = self._stepper.crossings.finite, self._watch.party
        if finite.where is not None:
            self._fault = self._fault or Fault(party, finite.where, party)
            finite.clear()
        return self._fault

    def _measure(self, step: int) -> None:
        start = perf_counter()
        summed = 0.0
        sent = 0
        for index, batch in enumerate(self._batches):
            while sent < len(self._batches) and sent - index < max(2, self._stepper.window):
                self._send(step, sent, self._batches[sent])
                sent += 1
            answer = self._answer(step, index)
            summed += self._loss(answer, batch)
        tokens = sum(batch.targets for batch in self._batches)
        loss = None if self._found() else summed / tokens
        seconds = perf_counter() - start
        rows = sum(len(batch.mask_BL) for batch in self._batches)
        self._watch.emit(
            EvaluationFinished(self._watch.party, step, loss=loss, tokens=tokens, rows=rows, seconds=seconds)
        )

    def _send(self, step: int, index: int, batch: Batch) -> None:
        with self._stepper.clock.stage("head_forward"):
            hidden_BLD = self._stepper.head_states(batch)
        self._stepper.link.send(
            Kind.ACTIVATIONS,
            step=step,
            micro=index,
            phase=Phase.HEAD_UP,
            evaluation=True,
            tensors=self._stepper.uplink(batch, Place(step, index, batch.mask_BL), hidden_BLD),
        )

    def _answer(self, step: int, index: int) -> Message:
        message = self._stepper.next()
        if not message.evaluation or (message.step, message.micro) != (step, index):
            raise out_of_turn(message)
        where = message.body.get("fault")
        if isinstance(where, str) and where in PLACES:
            self._fault = self._fault or Fault(SERVER, where, self._watch.party)
        return message

    def _logits(self, answer: Message, batch: Batch) -> torch.Tensor:
        tail = self._stepper.tail
        if tail is None:
            raise out_of_turn(answer)
        place = Place(answer.step, answer.micro, batch.mask_BL)
        return tail(batch.mask_BL, hidden_BLD=self._stepper.received(answer, place, tail))

    def _loss(self, answer: Message, batch: Batch) -> float:
        if self._stepper.tail is None:
            return number(answer, "loss")
        with self._stepper.clock.stage("tail"):
            summed = loss_sum(self._logits(answer, batch), batch.labels_BL).item()
            return self._stepper.crossings.finite.number(summed, "loss")

    # ---- samples

    def _sample(self, step: int) -> None:
        """Greedy answers, one token a round trip for all prompts together; no cache of past tokens is kept."""
        config = self._stepper.config
        longest = config.training.max_length - self._sample_tokens
        texts = [encode_prompt(prompt, self._tokenizer, config.data)[: max(1, longest)] for prompt in self._prompts]
        answers: list[list[int]] = [[] for _ in texts]
        open_ = {index for index, ids in enumerate(texts) if ids}
        end = self._tokenizer.eos_token_id
        for turn in range(min(self._sample_tokens, config.training.max_length - 1)):
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
            self._watch.emit(SampleWritten(self._watch.party, step, index=index, prompt=prompt, text=text))

    def _next_tokens(self, step: int, turn: int, rows: list[list[int]]) -> list[int]:
        """The likeliest next token of each row."""
        encoded = [Encoded(tuple(ids), (IGNORED,) * len(ids)) for ids in rows]
        batch = collate(encoded, padding=padding_id(self._tokenizer), device=str(self._stepper.head.device))
        self._send(step, turn, batch)
        answer = self._answer(step, turn)
        if self._stepper.tail is None:
            found = answer.body.get("next")
            if not isinstance(found, list) or len(found) != len(rows):
                raise out_of_turn(answer)
            return [int(str(token)) for token in found]
        logits_BLV = self._logits(answer, batch)
        if turn == 0:
            self._canary = {"input_ids": batch.ids_BL, "attention_mask": batch.mask_BL, "logits": logits_BLV.float()}
        return next_tokens(logits_BLV, batch.mask_BL)

    def save_canary(self, path: Path) -> None:
        """Keep the split model's logits on the public prompts, for a comparison with the joined adapter's."""
        if self._canary:
            save_file({name: tensor.cpu().contiguous() for name, tensor in self._canary.items()}, path)


def next_tokens(logits_BLV: torch.Tensor, mask_BL: torch.Tensor) -> list[int]:
    """The likeliest token after the last real one of each row."""
    last_B = mask_BL.sum(dim=1) - 1
    rows_B = torch.arange(len(last_B), device=logits_BLV.device)
    return [int(token) for token in logits_BLV[rows_B, last_B].argmax(dim=-1)]
