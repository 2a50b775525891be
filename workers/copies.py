"""That the hub has met a second process with this worker's key: noted on disk until the key is a new one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workers.settings import WorkerHome, read_json, write_private

_NOTED_EVERY = timedelta(minutes=1)


def _file(home: WorkerHome) -> Path:
    return home.root / "copy.json"


def copy_seen(home: WorkerHome) -> datetime | None:
    """When the hub last told of a copy, if it has since the key was made."""
    noted = read_json(_file(home))
    try:
        return datetime.fromisoformat(noted["at"]) if noted else None
    except (KeyError, TypeError, ValueError):
        return None


def copy_note(home: WorkerHome) -> bool:
    """Note a copy; whether it is news. However often the hub tells, little is written."""
    now, before = datetime.now(UTC), copy_seen(home)
    if before is not None and now - before < _NOTED_EVERY:
        return False
    write_private(_file(home), json.dumps({"at": now.isoformat()}))
    return True


def copy_forget(home: WorkerHome) -> None:
    """The key is a new one, or gone: what had the old one is shut out."""
    _file(home).unlink(missing_ok=True)
