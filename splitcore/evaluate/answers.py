"""How many rows a model answers exactly, when it always takes the likeliest token.

A row is generated only where one pass over the wanted answer does not tell already what the model says, and no further
than to the first character that differs: the result is that of generating every answer to its end.

Shapes: B rows, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from splitcore.data.tokenise import IGNORED, Encoded
from splitcore.evaluate.generate import generate_batch

UNSETTLED = 8  # last characters of an unfinished text that may still change: part of one, or white space to be joined
ROOM = 8  # tokens that an answer may be longer than the wanted one


@dataclass(frozen=True)
class Question:
    """A prompt, the tokens wanted after it, and the text that they stand for."""

    prompt: list[int]
    target: list[int]
    text: str

    @classmethod
    def of(cls, encoded: Encoded, text: str) -> Question:
        """The question of a row whose labels are its answer alone."""
        start = next(place for place, label in enumerate(encoded.labels) if label != IGNORED)
        return cls(list(encoded.ids[:start]), list(encoded.ids[start:]), text)

    def is_answered_by(self, answer: str) -> bool:
        """Surrounding white space does not count."""
        return answer.strip() == self.text.strip()

    def is_missed_by(self, beginning: str) -> bool:
        """Whether no answer that begins so can be the wanted one."""
        settled = beginning.lstrip()[:-UNSETTLED].rstrip()
        return not self.text.strip().startswith(settled)


def said(question: Question, likeliest_L: Sequence[int], end: int | None) -> list[int] | None:
    """What the model says, if that is what is wanted, up to the end token; else None.

    likeliest_L: after each token of the prompt and the wanted answer, the likeliest next one.
    """
    if end is None or end not in question.target:
        return None  # cut off: the model may go on
    wanted = question.target[: question.target.index(end) + 1]
    first = len(question.prompt) - 1
    return wanted if list(likeliest_L[first : first + len(wanted)]) == wanted else None


def count_exact(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[tuple[Question, Sequence[int]]],
    *,
    batch_size: int,
    most_tokens: int,
) -> int:
    """How many of the questions, each with the likeliest tokens as for `said`, are answered exactly."""
    end = tokenizer.eos_token_id
    right, open_ = 0, []
    for question, likeliest_L in asked:
        ids = said(question, likeliest_L, end if isinstance(end, int) else None)
        if ids is None:
            open_.append(question)
        else:
            right += question.is_answered_by(str(tokenizer.decode(ids, skip_special_tokens=True)))
    for start in range(0, len(open_), batch_size):
        part = open_[start : start + batch_size]
        longest = max(len(question.target) for question in part)
        answers = generate_batch(
            model,
            tokenizer,
            [question.prompt for question in part],
            min(most_tokens, longest + ROOM),
            stopping=StoppingCriteriaList([_Missed(tokenizer, part)]),
        )
        right += sum(question.is_answered_by(answer) for question, answer in zip(part, answers, strict=True))
    return right


class _Missed(StoppingCriteria):
    """Ends each row whose text can no longer become the wanted one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]) -> None:
        self._tokenizer, self._questions = tokenizer, questions
        self._width = max(len(question.prompt) for question in questions)

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs: Any) -> Any:
        """Which rows (B) are done."""
        texts = self._tokenizer.batch_decode(input_ids[:, self._width :], skip_special_tokens=True)
        missed = [question.is_missed_by(text) for question, text in zip(self._questions, texts, strict=True)]
        return torch.tensor(missed, device=input_ids.device)
