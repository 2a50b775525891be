"""Lists of names as sentences have them, and sentences that several pages say alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def listed(names: Iterable[str]) -> str:
    """Names with commas and *and*, each once."""
    unique = [name for name in dict.fromkeys(names) if name]
    return " and ".join([", ".join(unique[:-1]), unique[-1]] if len(unique) > 1 else unique)


def withdrawal_words(summary: Mapping[str, Any]) -> str:
    """Who took a run back before it started, and why, from the run's summary; older hubs noted neither."""
    told = summary.get("withdrawn")
    if told is None:
        return "Withdrawn before it started."
    return f"{told['by']} ({told['organisation']}) withdrew this run before it started. {told['reason']}".strip()
