"""Public prompts in a text area, one per line: a line break within one is shown as \\n and read back as a break."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WRITTEN = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_READ = {written: meant for meant, written in _WRITTEN.items()}


def prompts_to_text(prompts: Iterable[str]) -> str:
    """The prompts as the text area shows them."""
    return "\n".join(re.sub(r"[\\\n\r]", lambda found: _WRITTEN[found[0]], prompt) for prompt in prompts)


def prompts_from_text(text: str) -> list[str]:
    """The prompts that stand in the text area; what is no escape stays as it was typed."""
    lines = text.replace("\r\n", "\n").split("\n")
    return [re.sub(r"\\[\\nr]", lambda found: _READ[found[0]], line) for line in lines]
