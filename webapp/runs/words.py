"""Lists of names as sentences have them."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Names with commas and *and*, each once."""
    unique = [name for name in dict.fromkeys(names) if name]
    return " and ".join([", ".join(unique[:-1]), unique[-1]] if len(unique) > 1 else unique)
