"""Every record of a run's metrics, at full resolution, as CSV or JSON lines of one list."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

from django.db.models import Max

from webapp.runs.models import Run
from webapp.telemetry.models import Record
from webapp.telemetry.selectors import parties_of, record_json
from workers.contracts import EvalPayload, MetricPayload

CSV = "text/csv; charset=utf-8"
COLUMNS = ("seq", "kind", "organisation", "party", "step", "at", "seconds")
VALUES = tuple(dict.fromkeys((*MetricPayload.model_fields, *EvalPayload.model_fields)))
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """What csv.writer writes to: hands the line back."""

    def write(self, text: str) -> str:
        """Give the text to the caller of writerow."""
        return text


def cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula: texts that begin like one get an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    """Each step once: of one that was done again after a recovery, what the newest attempt told."""
    parties = parties_of(run)
    records = Record.objects.filter(run=run, kind__in=["metric", "eval"])
    if run.recoveries:
        newest = records.values("participant_id", "kind", "step").annotate(newest=Max("seq"))
        records = records.filter(seq__in=newest.values("newest"))
    for record in records.order_by("seq").iterator(chunk_size=2000):
        shown = record_json(record=record, run=run, parties=parties)
        payload = shown.pop("payload")
        # `seconds` of a metric is the step's own duration; that since the run's start comes first.
        yield {**{name: shown[name] for name in COLUMNS}, "payload": payload}


def metrics_csv(run: Run) -> Iterator[str]:
    """Lines of CSV, with a header."""
    writer = csv.writer(_Line())
    yield writer.writerow([*COLUMNS[:-1], "seconds_since_start", *VALUES])
    for row in _rows(run):
        yield writer.writerow(
            [cell(row[name]) for name in COLUMNS] + [cell(row["payload"].get(name)) for name in VALUES]
        )


def metrics_json(run: Run) -> Iterator[str]:
    """A JSON list, one record a line."""
    separator = "["
    for row in _rows(run):
        yield f"{separator}\n{json.dumps(row)}"
        separator = ","
    yield "[]\n" if separator == "[" else "\n]\n"
