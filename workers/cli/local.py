"""What commands that work on this machine alone share: a model's folder, a file's rows, silent libraries."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from splitcore.config import RunConfig
from splitcore.errors import CATALOGUE
from workers.cli.console import err
from workers.data.reading import RowFile, read_rows

Rows = list[dict[str, Any]]


def local_model(config: RunConfig, path: Path) -> RunConfig:
    """A relative folder of the base model may also be meant from where the configuration lies."""
    name = config.model.name_or_path
    beside = path.parent / name
    if Path(name).is_dir() or not (beside / "config.json").is_file():
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"name_or_path": str(beside.resolve())})})


def rows_of(name: str, file: Path, config: RunConfig) -> Rows:
    found: RowFile = read_rows(file, config.data.columns, with_label=config.data.task.needs_labels)
    if found.bad_rows:
        first = found.problems[0]
        err.print(
            f"[yellow]{name}: {found.bad_rows} of {found.bad_rows + len(found.rows)} rows are skipped[/], first line "
            f"{first.line}: {first.code} {CATALOGUE[first.code].title.lower()}."
        )
    return found.rows


def quiet_libraries() -> None:
    """The display speaks; the libraries' own bars and warnings would tear it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="transformers|torch|peft")
