"""Who may read an installation's figures: programs on its own machine, and who has its token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from pathlib import Path

from processes.private_files import born

TOKEN_FILE = "metrics_token"  # noqa: S105  # a name
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")


def may_look(*, address: str, headers: Mapping[str, str], token: str) -> bool:
    """Loopback without a proxy between, or `Authorization: Bearer` with the token."""
    given = headers.get("authorization", "").removeprefix("Bearer ").strip()
    if given and hmac.compare_digest(given.encode(), token.encode()):
        return True
    return _is_loopback(address) and not any(name in headers for name in _FORWARDED)


def insight_token(folder: Path) -> str:
    """The installation's token for its figures, born on first use."""
    return born(folder / TOKEN_FILE, lambda: secrets.token_urlsafe(32).encode()).decode()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
