"""Labels of rows: their names as others may see them, and their counts, which only the site's own people see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from splitcore.data.task import LABELS_MOST, is_label
from splitcore.errors import AppError

Counts = dict[str, dict[str, int]]  # label → part → rows


def label_name(value: Any) -> tuple[str, str]:
    """A label's name, and the code of what is wrong with it. Classes are often numbered."""
    if value is None or value != value or (isinstance(value, str) and not value.strip()):  # NaN stands for none
        return "", "CL-1240"
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        value = str(int(value))
    name = value.strip() if isinstance(value, str) else ""
    return (name, "") if is_label(name) else ("", "CL-1245")


def note_label(counts: Counts, label: str, part: str) -> None:
    """Note one more row with this label. Raises AppError CL-1244."""
    if label not in counts and len(counts) == LABELS_MOST:
        raise AppError("CL-1244")
    counts.setdefault(label, {"train": 0, "heldout": 0})[part] += 1


def counted(folder: Path) -> Counts:
    """The rows of each label of a stored version; none where rows have no labels."""
    try:
        found: Counts = json.loads((folder / "report.json").read_text()).get("labels", {})
    except (OSError, ValueError):  # it explains the dataset, and no job needs it
        return {}
    return found
