"""The check of a file in a process of its own, with bounds of memory and time: `python -m workers.data.check`.

Whatever a file does to its reader happens to this process alone. The SPEC is JSON on its input, since a list of
processes shows arguments to everybody. So is each line of the answer: how far the check is, and at the end what was
found or an error of the catalogue, never a row's text.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splitcore.errors import AppError

MARK = "cutlayer-check "  # begins each line of the answer; a library's own words do not
MEMORY_BYTES = 1 << 30  # what a check may take beside its own code
CPU_SECONDS = 1800
_PATHS = ("heldout", "model_folder")


def main() -> int:
    """Check as the SPEC says; returns the exit status."""
    spec = json.loads(sys.stdin.buffer.read())
    try:
        work = _prepared(spec)  # imports first: they are no part of what the file takes
        _limit(int(spec.get("memory_bytes", MEMORY_BYTES)))
        _say(work())
    except MemoryError:
        _say({"error": AppError("CL-1227").to_dict()})
    except AppError as error:
        _say({"error": error.to_dict()})
    except Exception as error:
        # the text of an unforeseen exception may hold a row; its class is all that is kept
        _say({"error": AppError("CL-1999", f"The check ended with {type(error).__name__}.").to_dict()})
    return 0


def _prepared(spec: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """The work that the SPEC asks for, with everything loaded that it needs."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # the others reserve more than they use
    import pyarrow.parquet  # noqa: F401

    from workers.data.ingest import checked_columns
    from workers.data.readers import detect_source
    from workers.data.store import DatasetStore

    path = Path(spec["path"])
    if spec["work"] == "columns":
        source = detect_source(path, spec["name"])
        return lambda: {"source": source, "columns": checked_columns(path, source)}
    options: dict[str, Any] = {name: Path(one) if name in _PATHS else one for name, one in spec["options"].items()}
    store = DatasetStore(Path(spec["home"]))
    return lambda: {"staged_id": store.stage(path, on_rows=lambda rows: _say({"rows": rows}), **options).staged_id}


def _limit(memory_bytes: int) -> None:
    """From now on the process gets so much more memory, and so many seconds of a processor."""
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, used + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
