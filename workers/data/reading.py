"""A file's rows in their canonical form, in memory: for a training on this machine, without a worker's store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from splitcore.errors import AppError
from workers.data.ingest import Problem, columns_of
from workers.data.readers import detect_source, read_lines
from workers.data.rows import check_mapping, guess_mapping, normalise

_REPORTED = 20
COLUMNS_REMEDY = "Name them in the configuration. For example: data: {columns: {prompt: question, completion: answer}}."


@dataclass
class RowFile:
    """The good rows of a file, and which lines were left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)  # the first ones
    bad_rows: int = 0


def read_rows(path: Path, mapping: Mapping[str, str] | None = None, *, with_label: bool = False) -> RowFile:
    """Read JSON lines, CSV or Parquet by the rules of a worker's ingestion.

    mapping: role → column; without it the columns are guessed by their names. with_label: whether rows need labels.

    Raises
    ------
    AppError
        CL-1010, 1210, 1215, 1216, 1224 for what concerns the file as a whole; bad rows are counted and left out.
    """
    try:
        source = detect_source(path)
        columns = columns_of(path, source)
    except OSError as error:
        raise AppError("CL-1010", f"{path} can't be read ({type(error).__name__}).") from None
    roles = dict(mapping) if mapping else guess_mapping(columns, with_label=with_label)
    if roles is None:
        raise AppError("CL-1215", f"{path.name} has the columns {', '.join(columns)}.", COLUMNS_REMEDY)
    try:
        form = check_mapping(roles, columns)
    except AppError as error:
        error.remedy = COLUMNS_REMEDY
        raise
    found = RowFile()
    for line in read_lines(path, source):
        row, problem = (None, line.problem) if line.values is None else normalise(line.values, roles, form)
        if row is not None:
            found.rows.append(row)
            continue
        found.bad_rows += 1
        if len(found.problems) < _REPORTED:
            found.problems.append(Problem(line.number, problem, path.name))
    if not found.rows:
        raise AppError("CL-1216", f"No row of {path.name} can be trained on.")
    return found
