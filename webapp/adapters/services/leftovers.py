"""Files that were being written when the hub's process was killed: nothing names them, and nobody takes them up."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from django.conf import settings

from processes.leftovers import is_old

# What is received, zipped and joined, each until it has its name.
_UNFINISHED = ("segments/*/.incoming-*", "tokenizers/*/.incoming-*", "adapters/*/*.partial", "adapters/*/.*.segments")
log = logging.getLogger(__name__)


def leftovers_delete() -> int:
    """Delete what was left a day ago; returns how many there were."""
    media = Path(settings.MEDIA_ROOT)
    left = [path for pattern in _UNFINISHED for path in media.glob(pattern) if is_old(path)]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if left:
        log.warning("deleted %d unfinished files that a killed process had left", len(left))
    return len(left)
