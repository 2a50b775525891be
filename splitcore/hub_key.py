"""The hub's public key (Ed25519) as a site reads it, and the keys under which everybody could sign."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

# The points whose order divides eight, by y: a signature by one of them is found in a few tries, without any secret.
_P = 2**255 - 19
_ORDER_EIGHT = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_Y = {0, 1, _P - 1, _ORDER_EIGHT, _P - _ORDER_EIGHT}


def hub_public_key(pem: str) -> Ed25519PublicKey:
    """The key of a PEM text. Raises ValueError, with a sentence, for what is none that only a hub can sign with."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None  # type: ignore[assignment]
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("This is no Ed25519 key in PEM.")
    y = int.from_bytes(key.public_bytes_raw(), "little") % 2**255  # less the sign of x
    if y % _P in _SMALL_Y:
        raise ValueError("With this key, everybody can sign in the hub's name.")
    return key
