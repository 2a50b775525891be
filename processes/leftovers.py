"""What a process that was killed leaves on the disk, and from when on nobody can be using it any more."""

from __future__ import annotations

import time
from pathlib import Path

UNUSED_SECONDS = 86400.0  # longer than any upload pauses, any check takes and anybody looks at its report


def is_old(path: Path) -> bool:
    """Whether nothing was written to a file, or beside it into a folder, for a day; not so where it is gone."""
    try:
        return time.time() - path.lstat().st_mtime > UNUSED_SECONDS
    except FileNotFoundError:
        return False
