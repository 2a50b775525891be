"""Python loads this in every process of the drills' extra site: where a file asks for it, tokenising rows fails.

The exception's text quotes the rows, as a careless library's might.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ARMED = "spoil"
HALVES = {"workers.jobs.run", "workers.jobs.warm"}

if HALVES.intersection(sys.orig_argv):
    from splitcore.data import tokenise

    _encode_rows = tokenise.encode_rows

    def encode_rows(rows: Iterable[Any], *arguments: Any) -> Any:
        """The real thing, unless the file is there."""
        if Path(os.environ["CUTLAYER_WORKER_HOME"], ARMED).exists():
            raise ValueError(f"cannot encode {list(rows)!r}")
        return _encode_rows(rows, *arguments)

    tokenise.encode_rows = encode_rows
