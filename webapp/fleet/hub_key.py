"""The hub's own signing key (Ed25519): workers pin its public part at enrolment, and it signs upload tickets."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings

from processes.private_files import born
from splitcore.errors import AppError


def _key_path() -> Path:
    return Path(settings.VAR_DIR) / "keys" / "hub_ed25519.pem"


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@lru_cache(maxsize=4)
def _load(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(born(path, _new_key), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise AppError("CL-1999", "The hub's signing key isn't an Ed25519 key.")
    return key


def hub_sign(message: bytes) -> bytes:
    """The hub's signature (64 bytes) over a message."""
    return _load(_key_path()).sign(message)


def hub_public_key_pem() -> str:
    """The public part in PEM, as every worker keeps it."""
    return _load(_key_path()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
