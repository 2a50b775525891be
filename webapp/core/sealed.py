"""Short secrets that the database keeps for a moment: encrypted under a key derived from the hub's secret key."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def cipher(purpose: str) -> MultiFernet:
    """For one purpose: what was encrypted for another is not read. Former secret keys still read what they wrote."""
    return MultiFernet(
        [Fernet(_key(secret, purpose)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )


def seal(text: str, purpose: str) -> str:
    """What the database may keep of `text`."""
    return cipher(purpose).encrypt(text.encode()).decode()


def unseal(sealed: str, purpose: str, *, seconds: int) -> str | None:
    """The text; None where it was sealed more than so many seconds ago, under another key or for something else."""
    try:
        return cipher(purpose).decrypt(sealed.encode(), ttl=seconds).decode()
    except InvalidToken:
        return None


def _key(secret: str, purpose: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"cutlayer {purpose}".encode()).derive(
        secret.encode()
    )
    return urlsafe_b64encode(derived)
