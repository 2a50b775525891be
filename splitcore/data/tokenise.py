"""Rows to token ids and labels, by template (torch-free: the tokenizer is given)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from splitcore.data.rows import Row, RowError, check_row
from splitcore.data.task import SequenceTask
from splitcore.errors import AppError

if TYPE_CHECKING:
    from splitcore.config import DataSection

IGNORED = -100  # the label of a token that does not count in the loss


class Tokenizer(Protocol):
    """What is needed of a tokenizer."""

    eos_token_id: Any
    chat_template: Any

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> Any:
        """Encode text; `.input_ids` or `["input_ids"]` holds the ids."""

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any:
        """Encode messages."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of a row, and the label of each: its own id where it counts in the loss, else IGNORED.

    `is_class`: the one label is that of the whole row, the place of its name in the task, and stands at the token
    whose hidden state it is told from.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    is_class: bool = False

    @property
    def targets(self) -> int:
        """Number of tokens that the loss counts; the first token of a row is never predicted."""
        return sum(label != IGNORED for label in self.labels[0 if self.is_class else 1 :])


def encode_row(row: Row, tokenizer: Tokenizer, data: DataSection, max_length: int) -> Encoded:
    """Tokens of a row, cut off at `max_length`. Raises RowError CL-1202, CL-1203, AppError CL-1204.

    plain: the tokenizer's beginning (if it has one), prompt, completion, end. chat: the tokenizer's own template.
    A task with labels: the text as the tokenizer gives it, and nothing else, so that the adapter is used with no more.
    """
    if isinstance(data.task, SequenceTask):
        return _encode_class(row, tokenizer, data.task, max_length)
    if data.template == "chat" and not row.is_text:
        prompt, target = _chat(row, tokenizer)
    else:
        prompt, target = _plain(row, tokenizer)
    everything = row.is_text or data.loss_on == "all"
    ids = tuple((prompt + target)[:max_length])
    start = 0 if everything else len(prompt)
    encoded = Encoded(ids, tuple(token if place >= start else IGNORED for place, token in enumerate(ids)))
    if not target:
        raise RowError("CL-1202", "The target has no tokens.")
    if not encoded.targets:
        raise RowError("CL-1203", f"The prompt alone takes up {len(prompt)} of at most {max_length} tokens.")
    return encoded


def _encode_class(row: Row, tokenizer: Tokenizer, task: SequenceTask, max_length: int) -> Encoded:
    """Tokens of a text, and the place of its label. Raises RowError CL-1201, CL-1202, CL-1240, CL-1241."""
    if not row.is_text:
        raise RowError("CL-1201", "The row has no text with a label, which this run's task needs.")
    if not row.label:
        raise RowError("CL-1240", field="label")
    if row.label not in task.labels:
        raise RowError("CL-1241", field="label")
    return encode_text(row.completion, tokenizer, max_length, label=task.labels.index(row.label))


def encode_text(text: str, tokenizer: Tokenizer, max_length: int, *, label: int = 0) -> Encoded:
    """Tokens of a text whose label is told; `label` is its place. Raises RowError CL-1202.

    It is told from the last token that isn't padding, as the library's own classifiers do.
    """
    ids = tuple(_ids(tokenizer(text))[:max_length])
    if not ids:
        raise RowError("CL-1202", "The text has no tokens.")
    padding = padding_id(tokenizer)
    last = max((place for place, token in enumerate(ids) if token != padding), default=0)
    return Encoded(ids, tuple(label if place == last else IGNORED for place in range(len(ids))), is_class=True)


def padding_id(tokenizer: object) -> int:
    """The id that fills a row up: the tokenizer's own, else its end, else 0 (it is masked in any case)."""
    for name in ("pad_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if isinstance(token, int):
            return token
    return 0


def encode_rows(
    rows: Iterable[Mapping[str, Any]], tokenizer: Tokenizer, data: DataSection, max_length: int
) -> list[Encoded]:
    """All rows that have something to learn: one whose prompt alone fills `max_length` is left out.

    How many were, the two counts tell. A bad row raises its RowError with its number (from 1) in the details.
    """
    encoded: list[Encoded] = []
    for number, raw in enumerate(rows, start=1):
        try:
            encoded.append(encode_row(check_row(raw, data.columns), tokenizer, data, max_length))
        except RowError as error:
            if error.code == "CL-1203":
                continue
            error.details["row"] = number
            raise
    return encoded


def rows_with_target(
    rows: Iterable[Mapping[str, Any]], tokenizer: Tokenizer, data: DataSection, max_length: int
) -> list[Mapping[str, Any]]:
    """The rows that `encode_rows` takes, as they are."""
    return [row for row in rows if encode_rows([row], tokenizer, data, max_length)]


def encode_prompt(prompt: str, tokenizer: Tokenizer, data: DataSection) -> list[int]:
    """Tokens of a prompt that is to be answered."""
    row = Row(prompt, " ")
    return _chat(row, tokenizer)[0] if data.template == "chat" else _plain(row, tokenizer)[0]


def _plain(row: Row, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    end = tokenizer.eos_token_id
    prompt = _ids(tokenizer(f"{row.prompt}\n" if row.messages else row.prompt))
    if len(prompt) > 1 and prompt[-1] == end:
        prompt.pop()  # a tokenizer that closes every text must not close the prompt
    target = _ids(tokenizer(row.completion, add_special_tokens=False))
    return prompt, target + ([int(end)] if target and end is not None else [])


def _chat(row: Row, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    if not getattr(tokenizer, "chat_template", None):
        raise AppError("CL-1204")
    pairs = row.messages or (("user", row.prompt), ("assistant", row.completion))
    messages = [{"role": role, "content": content} for role, content in pairs]
    prompt = _ids(tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=True))
    whole = _ids(tokenizer.apply_chat_template(messages, tokenize=True))
    if whole[: len(prompt)] != prompt:  # a template that renders the last turn otherwise: learn what differs
        same = next((i for i, (a, b) in enumerate(zip(whole, prompt, strict=False)) if a != b), len(prompt))
        prompt = whole[:same]
    return prompt, whole[len(prompt) :]


def _ids(encoding: Any) -> list[int]:
    """The ids of what a tokenizer returned."""
    found: Sequence[int] = encoding["input_ids"] if hasattr(encoding, "keys") else encoding
    return [int(token) for token in found]
