"""The geometry of drawings that need no script: bars of parts and small lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interface.formatting import as_float, human_number, human_share

STEP_PARTS = ("compute", "send", "wait")


def stack_of(parts: Sequence[Any], *, unit: str, label: str) -> dict[str, Any]:
    """Return the bars of (name, value) parts as percentages of their sum, and the sentence that says the same."""
    pairs = [(str(name), max(as_float(value) or 0.0, 0.0)) for name, value in parts]
    whole = sum(value for _, value in pairs)
    bars, start = [], 0.0
    for place, (name, value) in enumerate(pairs):
        width = 100 * value / whole if whole else 0.0
        css = name if name in STEP_PARTS else STEP_PARTS[place % len(STEP_PARTS)]
        bars.append({"x": f"{start:.2f}", "width": f"{width:.2f}", "css": css, "name": name, "value": value})
        start += width
    spoken = ", ".join(f"{name} {human_number(value, 2)} {unit}" for name, value in pairs)
    return {"bars": bars, "unit": unit, "spoken": f"{label}: {spoken}"}


def leak_of(read: Any, null: Any) -> dict[str, Any]:
    """Return bar, interval and mark of shares that were read, as percentages, and the same in words."""
    words = f"{human_share(read.value)} of tokens (95 % interval {human_share(read.low)} to {human_share(read.high)})"
    return {
        "read": f"{100 * read.value:.2f}",
        "low": f"{100 * read.low:.2f}",
        "span": f"{100 * (read.high - read.low):.2f}",
        "mark": None if null is None else f"{min(100 * null.value, 99.6):.2f}",
        "words": words,
        "null_words": "" if null is None else human_share(null.value),
    }


def line_of(values: Sequence[object], *, width: int, height: int) -> dict[str, Any]:
    """Return the points of a small line that fills a box, and its last point."""
    numbers = [number for number in map(as_float, values) if number is not None]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    step = (width - 4) / max(len(numbers) - 1, 1)
    scale = (height - 4) / ((high - low) or 1.0)
    points = [
        f"{2 + place * step:.1f},{height - 2 - (number - low) * scale:.1f}" for place, number in enumerate(numbers)
    ]
    last = points[-1].split(",") if points else None
    return {"points": " ".join(points), "last": last, "width": width, "height": height}
