"""Python loads this in every process of the drills' extra site.

Its clock is ahead by the seconds of a variable. Where a file asks for it, tokenising rows fails, and the exception's
text quotes the rows, as a careless library's might.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import time_machine

AHEAD = "CUTLAYER_TEST_CLOCK_AHEAD"
ARMED = "spoil"
HALF = "workers.jobs.run"

if AHEAD in os.environ:
    time_machine.travel(time.time() + float(os.environ[AHEAD])).start()

if HALF in sys.orig_argv:
    from splitcore.data import tokenise

    _encode_rows = tokenise.encode_rows

    def encode_rows(rows: Iterable[Any], *arguments: Any, **named: Any) -> Any:
        """The real thing, unless the file is there."""
        if Path(os.environ["CUTLAYER_WORKER_HOME"], ARMED).exists():
            raise ValueError(f"cannot encode {list(rows)!r}")
        return _encode_rows(rows, *arguments, **named)

    tokenise.encode_rows = encode_rows
