"""Metadata of datasets for tests."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from workers.contracts import DatasetMetadata, Histogram


def metadata(**fields: Any) -> DatasetMetadata:
    """What a worker sends of a small dataset."""
    values = {
        "name": "Letters",
        "version": 1,
        "format": "prompt_completion",
        "source": "jsonl",
        "rows": 100,
        "train_rows": 90,
        "heldout_rows": 10,
        "columns": ["prompt", "completion"],
        "token_lengths": Histogram(edges=[0, 10, 20], counts=[60, 40]),
        "longest_tokens": 19,
        "digest": "d" * 64,
        "created_at": timezone.now(),
        **fields,
    }
    return DatasetMetadata(**values)
