"""bench-results/summary.json: the latest result of every benchmark, each beside the machine that it was measured on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGET = Path("bench-results") / "summary.json"


def merge(path: Path, key: str, result: Mapping[str, Any], machine: Mapping[str, Any]) -> None:
    """Put one result in, and leave the others as they are; `machine` holds each key's machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    summary[key] = dict(result)
    summary.setdefault("machine", {})[key] = dict(machine)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
