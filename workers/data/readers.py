"""Rows out of files, one at a time: memory stays flat however large the file is."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from splitcore.errors import AppError

Source = Literal["jsonl", "csv", "parquet"]
MAX_ROW_BYTES = 8 * 1024 * 1024
MAX_RATIO = 100  # of what a compressed table unpacks to and its size on the disk
BATCH_ROWS = 64
DELIMITERS = ",;\t|"  # between a table's columns; the first of them where a header has none
BOMS_16 = (b"\xff\xfe", b"\xfe\xff")  # what Excel's "Unicode text" begins with
_BATCH_BYTES = 1 << 25  # of a table's rows that are unpacked at a time, as far as its own figures are true
_PAGE_BUFFER = 1 << 20
_ROW_OVERHEAD = 64  # bytes that a column takes beside a value
SUFFIXES: dict[str, Source] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Line:
    """A row as read: its number in the file (from 1), and its values, or the code of what is wrong."""

    number: int
    values: dict[str, Any] | None
    problem: str = ""


def detect_source(path: Path, name: str | None = None) -> Source:
    """The file's kind, by its name and its first bytes. Raises CL-1210."""
    source = SUFFIXES.get(Path(name or path.name).suffix.lower())
    with path.open("rb") as file:
        start = file.read(4096)
    if source == "parquet" and start[:4] == b"PAR1":
        return source
    if source in ("jsonl", "csv") and _is_utf16(start) and not (source == "csv" and start.startswith(BOMS_16)):
        raise AppError(
            "CL-1211", f"{Path(name or path.name).name} is UTF-16, not UTF-8.", "Save it as UTF-8 and add it again."
        )
    if source == "csv" and start.startswith(BOMS_16):
        return source
    if source == "jsonl" and start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        raise AppError(
            "CL-1210",
            f"{Path(name or path.name).name} is one JSON list, not one JSON object per line.",
            "Write each object of the list on its own line (for example with jq -c '.[]') and add that file.",
        )
    if source in ("jsonl", "csv") and start[:4] != b"PAR1" and b"\x00" not in start:
        return source
    raise AppError("CL-1210", f"{Path(name or path.name).name} isn't JSON Lines, CSV or Parquet.")


def _is_utf16(start: bytes) -> bool:
    """Whether a text's first bytes look like UTF-16 (or 32): its mark, or plain letters with a zero beside each."""
    if start.startswith(BOMS_16):
        return True
    some = start[:512]
    half = len(some) // 2
    return half >= 8 and any(some[odd::2].count(0) >= 0.4 * half and some[1 - odd :: 2].count(0) == 0 for odd in (0, 1))


def _encoding_of(path: Path) -> tuple[str, str]:
    """Encoding of a CSV file, and what becomes of bytes that it cannot hold."""
    with path.open("rb") as file:
        return ("utf-16", "strict") if file.read(2) in BOMS_16 else ("utf-8-sig", "surrogateescape")


def read_lines(path: Path, source: Source) -> Iterator[Line]:
    """Every row of the file. A bad line is reported, not raised, except where the file as a whole cannot be read."""
    if source == "jsonl":
        yield from _read_jsonl(path)
    elif source == "csv":
        yield from _read_csv(path)
    else:
        yield from _read_parquet(path)


def _bounded_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Lines of at most MAX_ROW_BYTES; a longer one comes as None and is skipped without being held in memory."""
    number = 0
    while chunk := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(chunk) <= MAX_ROW_BYTES or chunk.endswith(b"\n"):
            yield number, chunk
            continue
        while chunk and not chunk.endswith(b"\n"):
            chunk = file.readline(MAX_ROW_BYTES)
        yield number, None


def _decode(raw: bytes | None) -> tuple[str | None, str]:
    if raw is None:
        return None, "CL-1212"
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return None, "CL-1211"


def _read_jsonl(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, raw in _bounded_lines(file):
            text, problem = _decode(raw)
            if text is None:
                yield Line(number, None, problem)
                continue
            if not text.strip():
                continue
            try:
                values = json.loads(text)
            except (ValueError, RecursionError):
                values = None
            if not isinstance(values, dict):
                yield Line(number, None, "CL-1213")
            elif "\\ud" in text.lower() and not _is_text(values):
                yield Line(number, None, "CL-1211")
            else:
                yield Line(number, values)


def _is_text(values: object) -> bool:
    """Whether everything can be written as UTF-8: JSON may escape half of a surrogate pair, which is no character."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class _CsvLines:
    """The lines of a CSV file for its reader. A row's lines together are bounded, quoted line breaks or not."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._fed = file, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_ROW_BYTES + 1)
        self._fed += len(line)
        if self._fed > MAX_ROW_BYTES:
            raise csv.Error("a row is too long")
        if not line:
            raise StopIteration
        return line

    def row_ended(self) -> None:
        """What was fed has become a row."""
        self._fed = 0


def _read_csv(path: Path) -> Iterator[Line]:
    """CSV with a header. Undecodable bytes are a problem of their row; an endless row one of the file."""
    csv.field_size_limit(MAX_ROW_BYTES)
    encoding, errors = _encoding_of(path)
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        lines = _CsvLines(file)
        try:
            layout, skip = _layout_of(file)
            file.seek(0)
            reader = csv.reader(lines, strict=True, **layout)
            header = next((cells for place, cells in enumerate(reader) if cells and place >= skip), None)
            lines.row_ended()
            if header is None:
                return
            if len(set(header)) != len(header):
                raise AppError("CL-1224", "The first line of the CSV file isn't a header with distinct names.")
            yield from _csv_rows(reader, header, lines)
        except UnicodeError:
            raise AppError("CL-1211", "The file is marked as UTF-16 but contains something else.") from None
        except csv.Error:
            raise AppError(
                "CL-1224", "The CSV file can't be read: a row is too long or its quotes don't match."
            ) from None


def _layout_of(file: TextIO) -> tuple[dict[str, Any], int]:
    """How a table's columns are set apart, by its header alone, and how many lines stand before that.

    The rows are no guide: a semicolon between columns and a comma in each number look alike there. Excel may write
    `sep=;` into a line of its own.
    """
    skip = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        if line.strip():
            break
        skip += 1
    if told := re.fullmatch(r"sep=([,;\t|])\s*", line, flags=re.IGNORECASE):
        return {"delimiter": told[1]}, skip + 1
    bare = re.sub(r'"[^"]*"', "", line)
    delimiter = max(DELIMITERS, key=bare.count)
    return {"delimiter": delimiter, "skipinitialspace": f"{delimiter} " in bare}, skip


def _csv_rows(reader: Any, header: list[str], lines: _CsvLines) -> Iterator[Line]:
    for cells in reader:
        lines.row_ended()
        number = reader.line_num
        if not cells:
            continue
        if len(cells) != len(header):
            yield Line(number, None, "CL-1230")
        elif any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
            yield Line(number, None, "CL-1211")
        else:
            yield Line(number, dict(zip(header, cells, strict=True)))


def _read_parquet(path: Path) -> Iterator[Line]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_PAGE_BUFFER) as file:
            _check_ratio(file.metadata, path.stat().st_size)
            yield from _table_rows(file)
    except MemoryError:  # pyarrow's own is one of its exceptions too
        raise
    except (pyarrow.ArrowException, OSError):
        raise AppError("CL-1224", "The Parquet file is damaged or can't be read.") from None
    except (OverflowError, ValueError):  # such as a time in the year 37,000, in whichever column
        raise AppError(
            "CL-1224", "The Parquet file has a value that can't be read, such as an out-of-range time."
        ) from None


def _table_rows(file: Any) -> Iterator[Line]:
    """A table's rows, one group after another, so many at a time as a batch may take."""
    number = 0
    for place in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(place)
        row_bytes = group.total_byte_size // max(1, group.num_rows)
        size = max(1, min(BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))
        for batch in file.iter_batches(batch_size=size, row_groups=[place], use_threads=False):
            rows = batch.to_pylist() if batch.nbytes <= MAX_ROW_BYTES else None
            for one in range(batch.num_rows):
                number += 1
                yield _table_row(number, batch.slice(one, 1)) if rows is None else Line(number, rows[one])


def _table_row(number: int, row: Any) -> Line:
    """One row; its texts are not made where they are too long. Its size is told before."""
    if row.nbytes > MAX_ROW_BYTES + _ROW_OVERHEAD * row.num_columns:
        return Line(number, None, "CL-1212")
    return Line(number, row.to_pylist()[0])


def _check_ratio(metadata: Any, size: int) -> None:
    """A table that unpacks to far more than it holds is met before it is unpacked. Raises AppError CL-1225."""
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > MAX_RATIO * size:
        raise AppError("CL-1225")
