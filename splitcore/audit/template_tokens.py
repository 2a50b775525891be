"""Which tokens of a row are its chat template's: all rows have them, and reading them reveals nothing. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from splitcore.config import DataSection
from splitcore.data.rows import check_row

MARK = "\ue000{}\ue001"  # private-use characters, which no template has


def template_places(raw: Mapping[str, Any], tokenizer: Any, data: DataSection, ids: Sequence[int]) -> list[bool]:
    """For each of the row's token ids, whether it is the template's alone.

    None is where the row has no chat template, or its rendering doesn't give these ids or can't be parted.
    """
    row = check_row(raw, data.columns)
    if data.template != "chat" or row.is_text:
        return [False] * len(ids)
    pairs = row.messages or (("user", row.prompt), ("assistant", row.completion))
    contents = [content for _, content in pairs]
    text = _rendered(tokenizer, [(role, content) for role, content in pairs])
    marked = _rendered(tokenizer, [(role, MARK.format(place)) for place, (role, _) in enumerate(pairs)])
    spans = list(_spans(text, marked, contents))
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if len(spans) != len(contents) or list(encoding["input_ids"])[: len(ids)] != list(ids):
        return [False] * len(ids)
    offsets = encoding["offset_mapping"][: len(ids)]
    return [not any(begin < span_end and end > span_begin for span_begin, span_end in spans) for begin, end in offsets]


def _rendered(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> str:
    messages = [{"role": role, "content": content} for role, content in pairs]
    return str(tokenizer.apply_chat_template(messages, tokenize=False))


def _spans(text: str, marked: str, contents: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where each content stands in the text, as the template around the marks says; it may strip what it is given."""
    at = 0
    for place, content in enumerate(contents):
        before, mark, marked = marked.partition(MARK.format(place))
        at += len(before)
        shown = content if text.startswith(content, at) else content.strip()
        if not mark or not text.startswith(shown, at):
            return
        yield at, at + len(shown)
        at += len(shown)
