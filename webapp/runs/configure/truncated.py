"""Rows that a run's longest row cuts off, as far as the datasets' shared token lengths tell."""

from __future__ import annotations

from collections.abc import Iterable

from splitcore.config import RunConfig
from webapp.datasets.models import DatasetVersion


def truncated_warnings(config: RunConfig, versions: Iterable[DatasetVersion]) -> list[str]:
    """A sentence for each dataset with longer rows, with its organisation and how many there are at least."""
    longest = config.training.max_length
    found = []
    for version in versions:
        count = rows_beyond(version, longest, config.model.name_or_path)
        if count:
            whose, rows = version.dataset.organisation.name, int(version.metadata["rows"])
            found.append(
                f"{whose}: at least {count:,} of {rows:,} rows of {version.dataset.name} are longer than {longest:,} "
                "tokens (Longest row) and will be truncated. Rows whose prompt alone is that long are left out."
            )
    return found


def rows_beyond(version: DatasetVersion, longest: int, model: str) -> int:
    """Rows in the buckets beyond `longest` tokens; 0 where another model's tokenizer counted, or none did."""
    histogram = version.metadata.get("token_lengths") or {}
    edges, counts = histogram.get("edges") or [], histogram.get("counts") or []
    if version.metadata.get("tokenizer") != model or len(edges) != len(counts) + 1:
        return 0
    return sum(count for edge, count in zip(edges, counts, strict=False) if edge > longest)
