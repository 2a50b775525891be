"""The forms of a row: prompt and completion, messages, or text, which may have a label (torch-free).

Nothing of a row ever enters an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splitcore.errors import AppError

ROLES = frozenset({"system", "user", "assistant"})


class RowError(AppError):
    """What is wrong with a row, without anything of its content; `details["field"]` names the column's role."""

    def __init__(self, code: str, message: str | None = None, *, field: str = "") -> None:
        super().__init__(code, message, details={"field": field} if field else {})
        self.field = field


@dataclass(frozen=True)
class Row:
    """A checked row: `messages` for chat rows, else `prompt` (empty for plain text) and `completion`.

    `label`: of plain text, where it has one.
    """

    prompt: str
    completion: str
    messages: tuple[tuple[str, str], ...] = ()
    is_text: bool = False
    label: str = ""


def check_row(raw: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Row:
    """The row in `raw`, whose columns may be named by `columns` (role → name). Raises RowError CL-1201, CL-1202."""
    names = columns or {}
    if not isinstance(raw, Mapping):
        raise RowError("CL-1201", "The row isn't a set of named columns.")
    values = {role: raw.get(names.get(role, role)) for role in ("prompt", "completion", "messages", "text", "label")}
    if values["completion"] is not None or values["prompt"] is not None:
        prompt = _text(values["prompt"], "prompt")
        return Row(prompt, _target(_text(values["completion"], "completion"), "completion"))
    if values["messages"] is not None:
        return _chat(values["messages"])
    if values["text"] is not None:
        label = values["label"] if isinstance(values["label"], str) else ""
        return Row("", _target(_text(values["text"], "text"), "text"), is_text=True, label=label)
    raise RowError("CL-1201", "The row has neither prompt and completion, nor messages, nor text.")


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise RowError("CL-1201", f"The column for {field} doesn't contain text.", field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowError("CL-1201", f"The column for {field} contains broken Unicode.", field=field) from None
    return value


def _target(value: str, field: str) -> str:
    if not value.strip():
        raise RowError("CL-1202", f"The {field} is empty.", field=field)
    return value


def _chat(value: Any) -> Row:
    """Messages must end with what the assistant said."""
    if not isinstance(value, list) or not value:
        raise RowError("CL-1201", "The column for messages doesn't contain a list of messages.", field="messages")
    messages: list[tuple[str, str]] = []
    for message in value:
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            raise RowError("CL-1201", "A message's role isn't system, user or assistant.", field="messages")
        messages.append((str(message["role"]), _text(message.get("content"), "messages")))
    if messages[-1][0] != "assistant":
        raise RowError("CL-1202", "The last message isn't from the assistant, so there is no target.", field="messages")
    target = _target(messages[-1][1], "messages")
    return Row("\n".join(content for _, content in messages[:-1]), target, tuple(messages))
