"""The PIN that stands between a browser and a site's rows. Printed in the worker's terminal, never sent anywhere."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def read_or_create_pin(home: Path) -> str:
    """The PIN of this worker (8 digits), born on first use in a file that only its owner can read."""
    path = home / "keys" / "console.pin"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secrets.randbelow(10**8):08d}")
    except FileExistsError:
        pass
    return path.read_text().strip()
