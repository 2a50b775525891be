"""A worker's self-signed certificate: what is accepted, its fingerprint and the signatures made with its key."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from django.utils import timezone

from splitcore.errors import AppError


@dataclass(frozen=True)
class WorkerCertificate:
    """A certificate that passed the checks. `fingerprint` is the SHA-256 of its DER form, in hex."""

    pem: str
    fingerprint: str
    key: ec.EllipticCurvePublicKey


def certificate_parse(pem: str) -> WorkerCertificate:
    """Read a certificate that a worker presents: P-256, signed by its own key, valid now. Raises CL-1408."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AppError("CL-1408", "The certificate can't be read as PEM.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AppError("CL-1408", "The certificate's key isn't a P-256 key.")
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise AppError("CL-1408", "The certificate isn't signed by its own key.") from error
    now = timezone.now()
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise AppError("CL-1408", "The certificate isn't currently valid.")
    der = certificate.public_bytes(Encoding.DER)
    return WorkerCertificate(
        pem=certificate.public_bytes(Encoding.PEM).decode(), fingerprint=hashlib.sha256(der).hexdigest(), key=key
    )


@lru_cache(maxsize=1024)
def _key_of(pem: str) -> ec.EllipticCurvePublicKey:
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise AppError("CL-1408")
    return key


def signature_holds(*, pem: str, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (DER, ECDSA with SHA-256) over `message` was made by the key of an enrolled certificate."""
    try:
        _key_of(pem).verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def proof_holds(*, pem: str, proof: str, message: bytes) -> bool:
    """The same for a signature in base64, and a certificate that was only just presented."""
    try:
        signature = base64.b64decode(proof, validate=True)
    except ValueError:
        return False
    return signature_holds(pem=pem, signature=signature, message=message)
