"""The PIN that stands between a browser and a site's rows. Shown by `cutlayer worker pin`, never sent anywhere."""

from __future__ import annotations

import secrets
from pathlib import Path

from processes.private_files import born


def read_or_create_pin(home: Path) -> str:
    """The PIN of this worker (8 digits), born on first use in a file that only its owner can read."""
    return born(home / "keys" / "console.pin", lambda: f"{secrets.randbelow(10**8):08d}".encode()).decode().strip()
