"""Datasets, base models, segments, and the check of an adapter, as far as the hub is told of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from splitcore.bounds import MODEL_ID, REVISION, Count, Free, Measure, Moment, Short, Small
from splitcore.data.task import LABELS_MOST, LabelName
from splitcore.planning.shape import ModelShape
from workers.contracts.base import Check, DatasetName, Hex64, Message, Since


class Histogram(Message):
    """Token lengths: `edges` has one more entry than `counts`."""

    edges: list[Count] = Field(max_length=65)
    counts: list[Count] = Field(max_length=64)


class DatasetMetadata(Message):
    """All that leaves a data organisation about a dataset. No field has room for a row."""

    name: DatasetName
    version: Small = Field(ge=1)
    format: Literal["prompt_completion", "messages", "text", "labelled"]
    source: Literal["jsonl", "csv", "parquet"]
    rows: Count
    train_rows: Count
    heldout_rows: Count
    columns: list[Short] = Field(default_factory=list, max_length=64)
    tokenizer: Short = ""
    token_lengths: Histogram | None = None
    longest_tokens: Count | None = None
    digest: Hex64  # HMAC-SHA256 under the site's own key
    created_at: Moment
    # the names alone, never how often each occurs; empty where the owner left them out
    labels: Annotated[list[LabelName], Field(max_length=LABELS_MOST), Since(8)] = Field(default_factory=list)


SHAPE_SINCE = 6  # the version of the protocol in which a registration came to carry the model's shape


class ModelRegistration(Message):
    """`POST models`: a base model that this worker has mapped and verified."""

    model_id: Annotated[str, StringConstraints(max_length=400, pattern=MODEL_ID)]
    revision: Annotated[str, StringConstraints(max_length=100, pattern=REVISION)] = ""
    manifest_hash: Hex64
    config: Free  # config.json of the model, at most 64 KiB
    parameters: Count
    bytes: Count
    # measured by the worker on the model itself; None: not measured, as by an older worker
    shape: Annotated[ModelShape | None, Since(SHAPE_SINCE)] = None


class SegmentUpload(Message):
    """Query of `PUT runs/{run_id}/segments/{name}` (safetensors) and `PUT runs/{run_id}/tokenizer/{name}` (pinned)."""

    participant_id: Short
    attempt: Small
    sha256: Hex64


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class EvaluationResult(Message):
    """What a data party measured on its own held-out rows with the joined adapter."""

    base_loss: Measure  # None: not available because of a NaN or infinite value
    base_exact_match: Share
    loss: Measure
    exact_match: Share
    rows: Count
    tokens: Count
    # of a task with labels, where an exact match is a label that was told
    base_macro_f1: Annotated[Share | None, Since(8)] = None
    macro_f1: Annotated[Share | None, Since(8)] = None


class VerifyReport(Message):
    """`POST runs/{run_id}/verified`: load checks of the joined adapter, and the evaluation where rows are held."""

    participant_id: Short
    adapter_id: Short
    adapter_sha256: Hex64
    checks: list[Check] = Field(max_length=32)
    evaluation: EvaluationResult | None = None
