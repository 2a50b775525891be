"""Which columns play which role, and what is wrong with a row. Nothing here keeps or prints a row's text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from splitcore.errors import AppError
from workers.data.labels import label_name

LEAST_MEASURED = 8  # held-out rows on which an adapter is measured: figures of fewer would tell of single rows
Form = Literal["prompt_completion", "messages", "labelled", "text"]
ROLES: dict[Form, tuple[str, ...]] = {
    "prompt_completion": ("prompt", "completion"),
    "messages": ("messages",),
    "labelled": ("text", "label"),
    "text": ("text",),
}
_KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "instruction", "input", "question", "source"),
    "completion": ("completion", "response", "output", "answer", "target"),
    "messages": ("messages", "conversation", "conversations", "chat"),
    "text": ("text", "content", "document"),
    "label": ("label", "class"),
}


def guess_mapping(columns: Iterable[str], *, with_label: bool = True) -> dict[str, str] | None:
    """Role → column, from common column names; None if a person has to say. `with_label`: a label is looked for."""
    by_lower = {column.lower().strip(): column for column in columns}
    for form, roles in ROLES.items():
        if form == "labelled" and not with_label:
            continue
        mapping = {}
        for role in roles:
            column = next((by_lower[name] for name in _KNOWN_NAMES[role] if name in by_lower), None)
            if column is not None:
                mapping[role] = column
        if len(mapping) == len(roles):
            return mapping
    return None


def form_of(mapping: Mapping[str, str]) -> Form:
    """The form that a mapping's roles make up. Raises CL-1215."""
    for form, roles in ROLES.items():
        if set(mapping) == set(roles):
            return form
    raise AppError("CL-1215", f"The roles {sorted(mapping)} aren't a known row format.")


def check_mapping(mapping: Mapping[str, str], columns: Iterable[str]) -> Form:
    """The form, if every mapped column exists and has one role. Raises CL-1215."""
    form = form_of(mapping)
    known = set(columns)
    for role, column in mapping.items():
        if column not in known:
            raise AppError(
                "CL-1215", f"There is no column '{column}' for the {role}. Columns: {', '.join(sorted(known))}."
            )
    twice = next((column for column in mapping.values() if list(mapping.values()).count(column) > 1), None)
    if twice is not None:
        roles = " and ".join(role for role, column in mapping.items() if column == twice)
        raise AppError("CL-1215", f"The column '{twice}' is chosen for {roles}.", "Choose a different column for each.")
    return form


def normalise(values: Mapping[str, Any], mapping: Mapping[str, str], form: Form) -> tuple[dict[str, Any] | None, str]:
    """The row in its canonical form, or None and the code of what is wrong with it."""
    if form == "messages":
        return _normalise_messages(values.get(mapping["messages"]))
    row = {role: values.get(column) for role, column in mapping.items()}
    target = row["completion" if form == "prompt_completion" else "text"]
    if target is None or (isinstance(target, str) and not target.strip()):
        return None, "CL-1214"
    problem = ""
    if form == "labelled":
        row["label"], problem = label_name(row["label"])
    if not problem and any(not isinstance(value, str) for value in row.values()):
        problem = "CL-1201"
    return (None, problem) if problem else (row, "")


def _normalise_messages(messages: Any) -> tuple[dict[str, Any] | None, str]:
    if not isinstance(messages, list) or not messages:
        return None, "CL-1201"
    clean = []
    for message in messages:
        if not isinstance(message, dict):
            return None, "CL-1201"
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            return None, "CL-1201"
        clean.append({"role": role, "content": content})
    if clean[-1]["role"] != "assistant" or not clean[-1]["content"].strip():
        return None, "CL-1214"
    return {"messages": clean}, ""
