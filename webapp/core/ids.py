"""Public ids: short, unguessable, and telling what they name (`run_3kq…`)."""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """A new id: the prefix and 80 random bits in 16 characters of Crockford's base 32."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))


def new_token(prefix: str) -> str:
    """A new secret: the prefix and 256 random bits. Only its hash is stored."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    """SHA-256 of a secret: enough, because the secret has 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
