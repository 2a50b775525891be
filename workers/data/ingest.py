"""A file → a checked, staged dataset → a version. Two steps, so that a person sees the report before confirming."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from splitcore.errors import CATALOGUE, AppError
from workers.contracts import Histogram
from workers.data.labels import Counts, note_label
from workers.data.lengths import LengthMeter, Longer
from workers.data.readers import MAX_RATIO, MAX_ROW_BYTES, Source, detect_source, read_lines
from workers.data.rows import Form, check_mapping, guess_mapping, normalise

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.\-]{0,79}")
_REPORTED = 200  # problems in a report; beyond them only the first one of each further code
_ROWS_FOR_COLUMNS = 100
_FILES = {"train": "training file", "heldout": "held-out file"}
_SMALL_BYTES = 1 << 26  # below this no file is taken for one that grows beyond all bounds
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of a formula


@dataclass(frozen=True)
class Problem:
    """A bad line: number and code, never its text."""

    line: int
    code: str
    file: str = "train"

    @property
    def title(self) -> str:
        """What the code says."""
        return CATALOGUE[self.code].title


@dataclass
class Report:
    """The result of checking a file, JSON-able, without any row."""

    staged_id: str
    source: Source
    form: Form
    columns: list[str]
    mapping: dict[str, str]
    train_rows: int = 0
    heldout_rows: int = 0
    bad_rows: int = 0
    duplicates: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_counts: dict[str, int] = field(default_factory=dict)
    tokenizer: str = ""
    histogram: Histogram | None = None
    longest: int | None = None
    longer: list[Longer] = field(default_factory=list)
    digest: str = ""
    labels: Counts = field(default_factory=dict)  # of labelled rows

    def to_json(self) -> str:
        """As stored beside the staged rows."""
        data = asdict(self)
        data["histogram"] = self.histogram.model_dump() if self.histogram else None
        return json.dumps(data)


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full disk becomes CL-1219."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AppError("CL-1219") from None
        raise


@contextmanager
def _blames(file: str) -> Iterator[None]:
    """An error names the file that it comes from: `train` or `heldout`."""
    try:
        yield
    except AppError as error:
        error.details["file"] = file
        raise


def columns_of(path: Path, source: Source, file: str = "") -> list[str]:
    """The columns of a table, or of the first JSON lines, which may leave some out. Raises CL-1216, CL-1229."""
    columns: dict[str, None] = {}
    problems: list[Problem] = []
    for place, line in enumerate(read_lines(path, source)):
        if line.values is None:
            problems.append(Problem(line.number, line.problem, file or "train"))
        columns |= dict.fromkeys(str(column) for column in line.values or ())
        if (columns and source != "jsonl") or place - len(problems) >= _ROWS_FOR_COLUMNS or place >= 1000:
            break
    if not columns:
        raise _no_rows(problems, Counter(problem.code for problem in problems), file)
    return list(columns)


def _no_rows(problems: list[Problem], counts: Mapping[str, int], file: str = "") -> AppError:
    """That no row is left, with what is wrong most often and its remedy. `problems` has the first one of each code."""
    of = f" of the {_FILES[file]}" if file else ""
    if not counts:
        return AppError("CL-1229", f"The {_FILES[file]} has no rows." if file else None)
    code = max(counts, key=lambda one: counts[one])
    first = next(problem for problem in problems if problem.code == code)
    return AppError(
        "CL-1216",
        f"No row{of} can be used. {CATALOGUE[code].title}: line {first.line} is the first ({code}).",
        CATALOGUE[code].remedy,
        details={"problems": [asdict(problem) for problem in problems[:20]]},
    )


def checked_columns(path: Path, source: Source, file: str = "") -> list[str]:
    """The columns, whose names go to the hub and into tables there. Raises CL-1216, CL-1226, CL-1229."""
    columns = columns_of(path, source, file)
    if any(column.startswith(_FORMULA) for column in columns):
        raise AppError("CL-1226")
    return columns


@dataclass
class Room:
    """How many bytes of rows a file may become. What it takes is counted here."""

    ratio_bytes: int  # a hundred times the file's own size
    quota_bytes: int | None = None  # what the operator still allows

    @classmethod
    def for_files(cls, *paths: Path | None, quota_bytes: int | None) -> Room:
        """The room for the rows of some files."""
        size = sum(path.stat().st_size for path in paths if path is not None)
        return cls(max(_SMALL_BYTES, MAX_RATIO * size), quota_bytes)

    def take(self, count: int) -> None:
        """Note `count` more bytes. Raises AppError CL-1220 or CL-1225."""
        self.ratio_bytes -= count
        if self.ratio_bytes < 0:
            raise AppError("CL-1225")
        if self.quota_bytes is not None:
            self.quota_bytes -= count
            if self.quota_bytes < 0:
                raise AppError("CL-1220")


class _Stage:
    """Writes canonical rows, tells duplicates and splits off the held-out part."""

    def __init__(
        self, folder: Path, report: Report, key: bytes, eval_fraction: float, meter: LengthMeter | None, room: Room
    ) -> None:
        self.report, self.meter, self.room = report, meter, room
        self.on_rows: Callable[[int], None] | None = None
        self.threshold = int(eval_fraction * 2**32)
        self.key = key
        self.digest = hashlib.sha256()
        self.seen: set[bytes] = set()
        self.files: dict[str, TextIO] = {
            part: (folder / f"{part}.jsonl").open("w", encoding="utf-8") for part in ("train", "heldout")
        }

    def add(self, row: dict[str, Any], part: str | None) -> None:
        """Store one row; without a part, a keyed hash of the row decides, so that a repeat splits alike."""
        text = json.dumps(row, ensure_ascii=False, sort_keys=True)
        encoded = text.encode()
        self.room.take(len(encoded) + 1)
        mark = hashlib.blake2b(encoded, key=self.key, digest_size=16).digest()
        if mark in self.seen:
            self.report.duplicates += 1
        self.seen.add(mark)
        chosen = part or self._part_of(mark, row)
        self.files[chosen].write(text + "\n")
        self.digest.update(chosen.encode() + mark)
        if chosen == "train":
            self.report.train_rows += 1
        else:
            self.report.heldout_rows += 1
        if "label" in row:
            note_label(self.report.labels, row["label"], chosen)
        if self.meter is not None:
            self.meter.add(row)
        if self.on_rows is not None and (self.report.train_rows + self.report.heldout_rows) % 500 == 0:
            self.on_rows(self.report.train_rows + self.report.heldout_rows)

    def _part_of(self, mark: bytes, row: Mapping[str, Any]) -> str:
        """Held out by the keyed hash alone, so that a repeat splits alike; the first row (of a label) always trains."""
        is_first = row["label"] not in self.report.labels if "label" in row else not self.report.train_rows
        return "heldout" if not is_first and int.from_bytes(mark[:4], "big") < self.threshold else "train"

    def close(self) -> None:
        """Flush the files."""
        for file in self.files.values():
            file.close()


def stage(
    staging: Path,
    path: Path,
    *,
    key: bytes,
    name: str | None = None,
    heldout: Path | None = None,
    heldout_name: str | None = None,
    mapping: dict[str, str] | None = None,
    eval_fraction: float = 0.1,
    model_folder: Path | None = None,
    tokenizer: str = "",
    on_rows: Callable[[int], None] | None = None,
    quota_bytes: int | None = None,
    staged_id: str = "",
) -> Report:
    """Check `path` (and a held-out file) row by row and write the canonical rows into a new folder of `staging`.

    `key` is the site's own 32 bytes; `on_rows` is told how far the check is; the rows may take `quota_bytes`.
    `staged_id` names the folder, where the caller has chosen it.
    Raises CL-121x for what concerns a file as a whole: where it is the file and no mapping, `details` have "file",
    `train` or `heldout`. Bad rows are in the report.
    """
    named = "train" if heldout else ""
    with _blames("train"):
        source = detect_source(path, name)
        columns = checked_columns(path, source, named)
    mapping = mapping or guess_mapping(columns)
    if mapping is None:
        raise AppError("CL-1215", details={"columns": columns})
    form = check_mapping(mapping, columns)
    staged_id = staged_id or secrets.token_hex(8)
    folder = staging / staged_id
    report = Report(staged_id, source, form, columns, dict(mapping), tokenizer=tokenizer)
    meter = LengthMeter(model_folder) if model_folder is not None else None
    try:
        with disk_errors():
            folder.mkdir(parents=True)
            room = Room.for_files(path, heldout, quota_bytes=quota_bytes)
            writer = _Stage(folder, report, key, 0.0 if heldout else eval_fraction, meter, room)
            writer.on_rows = on_rows
            try:
                with _blames("train"):
                    _take(writer, path, source, "train", None if not heldout else "train")
                if report.train_rows == 0:  # before the other file's problems are counted too
                    raise _no_train_rows(report, named)
                if form == "labelled" and len(report.labels) < 2:
                    raise AppError("CL-1242")
                if heldout is not None:
                    with _blames("heldout"):
                        _take_heldout(writer, heldout, heldout_name, mapping)
            finally:
                writer.close()
            report.digest = hmac.new(key, writer.digest.digest(), hashlib.sha256).hexdigest()
            if meter is not None:
                report.histogram, report.longest, report.longer = meter.histogram(), meter.longest, meter.longer()
            (folder / "report.json").write_text(report.to_json())
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return report


def _no_train_rows(report: Report, named: str) -> AppError:
    """No row to train on. Where some were read, no file is named: another mapping may do."""
    error = _no_rows(report.problems, report.problem_counts, named)
    if error.code == "CL-1229":
        error.details["file"] = "train"
    return error


def _take_heldout(writer: _Stage, path: Path, name: str | None, mapping: dict[str, str]) -> None:
    source = detect_source(path, name)
    missing = set(mapping.values()) - set(columns_of(path, source, "heldout"))
    if missing:
        raise AppError("CL-1217", f"The held-out file is missing the columns: {', '.join(sorted(missing))}.")
    _take(writer, path, source, "heldout", "heldout")


def _take(writer: _Stage, path: Path, source: Source, file: str, part: str | None) -> None:
    report, counts = writer.report, Counter(writer.report.problem_counts)
    for line in read_lines(path, source):
        row, problem = (
            (None, line.problem) if line.values is None else normalise(line.values, report.mapping, report.form)
        )
        if row is not None and sum(len(str(value)) for value in row.values()) > MAX_ROW_BYTES:
            row, problem = None, "CL-1212"  # a table's row has no line whose length was looked at
        if row is not None and file == "heldout" and "label" in row and row["label"] not in report.labels:
            row, problem = None, "CL-1243"
        if row is not None:
            writer.add(row, part)
            continue
        report.bad_rows += 1
        counts[problem] += 1
        if len(report.problems) < _REPORTED or counts[problem] == 1:
            report.problems.append(Problem(line.number, problem, file))
    report.problem_counts = dict(counts)
