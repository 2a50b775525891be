"""The hub's public key: which keys a site takes for one."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from splitcore.audit_export import key_fingerprint
from splitcore.errors import AppError
from splitcore.hub_key import hub_public_key

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
# Each y whose point has an order that divides eight, as it may be written: less than 2^255, with either sign of x.
ORDER_EIGHT = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL = [0, 1, P - 1, P, P + 1, ORDER_EIGHT, P - ORDER_EIGHT]


def pem_of(raw: bytes) -> str:
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def point_of(y: int) -> Point:
    """A point of the curve with this y, or an error: -x² + y² = 1 + d x² y²."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return x, y % P


def doubled(point: Point) -> Point:
    x, y = point
    product = D * x * x * y * y % P
    return 2 * x * y * pow(1 + product, -1, P) % P, (y * y + x * x) * pow(1 - product, -1, P) % P


@pytest.mark.parametrize("y", SMALL)
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_of_small_order_is_none(y: int, sign: int) -> None:
    assert doubled(doubled(doubled(point_of(y)))) == (0, 1), "eight times it is nothing"
    pem = pem_of((y | sign << 255).to_bytes(32, "little"))
    with pytest.raises(ValueError, match="everybody can sign"):
        hub_public_key(pem)
    with pytest.raises(AppError, match="CL-1439"):
        key_fingerprint(pem)


def test_under_a_key_of_zeros_everybody_signs_in_a_few_tries() -> None:
    """Why it is refused: the library itself takes such a signature, of which half is the point and half is nothing."""
    key = Ed25519PublicKey.from_public_bytes(bytes(32))
    forged = (1).to_bytes(32, "little") + bytes(32)

    def holds(message: bytes) -> bool:
        try:
            key.verify(forged, message)
        except InvalidSignature:
            return False
        return True

    assert any(holds(f"ticket {number}".encode()) for number in range(64))


def test_every_key_that_a_hub_makes_is_taken() -> None:
    for _ in range(64):
        key = Ed25519PrivateKey.generate().public_key()
        assert hub_public_key(pem_of(key.public_bytes_raw())) == key


def test_what_is_no_key_of_a_hub_is_refused() -> None:
    form = {"encoding": Encoding.PEM, "format": PublicFormat.SubjectPublicKeyInfo}
    others = [ec.generate_private_key(ec.SECP256R1()).public_key(), X25519PublicKey.from_public_bytes(bytes(32))]
    for text in ("", "zeros", *(key.public_bytes(**form).decode() for key in others)):
        with pytest.raises(ValueError, match="no Ed25519 key"):
            hub_public_key(text)
