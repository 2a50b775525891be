"""The PIN that stands between a browser and a site's rows. Shown by `cutlayer worker pin`, never sent anywhere."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from pathlib import Path

from processes.private_files import born, replace_private
from splitcore.errors import AppError

TRIES = 5  # wrong PINs before the first wait
WAIT_FIRST, WAIT_MOST = 60.0, 3600.0  # seconds; each further wrong PIN doubles the wait
_lock = threading.Lock()


def read_or_create_pin(home: Path) -> str:
    """The PIN of this worker (8 digits), born on first use in a file that only its owner can read."""
    return born(home / "keys" / "console.pin", lambda: f"{secrets.randbelow(10**8):08d}".encode()).decode().strip()


def check_pin(home: Path, pin: str) -> None:
    """Raises CL-1454 (wrong), CL-1455 (too many were). What was tried is kept over restarts, until a right one."""
    right = read_or_create_pin(home)
    with _lock:
        wrong, until = _tried(home)
        now = time.time()
        if until > now + WAIT_MOST:  # the clock was ahead, and was set back
            until = now + WAIT_MOST
            _keep(home, wrong, until)
        if now < until:
            raise AppError("CL-1455", f"Too many wrong PINs. Try again in {until - now:.0f} s.")
        wrong += 1  # written first: a try that ends this process counts
        wait = min(WAIT_FIRST * 2.0 ** min(wrong - TRIES, 10), WAIT_MOST) if wrong >= TRIES else 0.0
        _keep(home, wrong, now + wait)
        if not hmac.compare_digest(pin.strip().encode(), right.encode()):
            raise AppError("CL-1454")
        forget_tries(home)


def forget_tries(home: Path) -> None:
    """Whoever can read the PIN's file needs to guess nothing."""
    _file(home).unlink(missing_ok=True)


def _file(home: Path) -> Path:
    return home / "keys" / "console.tries"


def _keep(home: Path, wrong: int, until: float) -> None:
    replace_private(_file(home), json.dumps({"wrong": wrong, "until": until}).encode())


def _tried(home: Path) -> tuple[int, float]:
    try:
        told = json.loads(_file(home).read_bytes())
        return int(told["wrong"]), float(told["until"])
    except FileNotFoundError:
        return 0, 0.0
    except (OSError, ValueError, TypeError, KeyError):
        return TRIES, 0.0
