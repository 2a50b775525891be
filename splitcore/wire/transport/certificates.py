"""The key pair and self-signed certificate of a worker, and the fingerprints that contracts pin.

P-256 (grpcio's TLS refuses Ed25519), CN = worker id, keyUsage digitalSignature only: such a certificate may sign
handshakes but no other certificate. Nothing chains; a peer is trusted because the contract names its fingerprint.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from splitcore.wire.protocol.messages import ChannelError

YEARS = 10
KEY_FILE, CERTIFICATE_FILE = "worker.key.pem", "worker.cert.pem"
SIGNATURE_BYTES = 64  # r and s of ECDSA on P-256, 32 bytes each


@dataclass(frozen=True)
class Identity:
    """A worker's own key and certificate. The key is kept out of `repr`, so out of logs."""

    worker_id: str
    certificate_pem: str
    key_pem: bytes

    def __repr__(self) -> str:
        return f"Identity({self.worker_id!r}, {self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate."""
        return fingerprint(self.certificate_pem)

    def sign(self, text: bytes) -> bytes:
        """ECDSA with SHA-256, `SIGNATURE_BYTES` long. Begin each use's text with a name of its own."""
        key = serialization.load_pem_private_key(self.key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ChannelError("CL-1330", "The certificate's key isn't a P-256 key.")
        return b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256()))))

    def save(self, folder: Path) -> None:
        """Write key and certificate, readable by their owner alone."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in ((KEY_FILE, self.key_pem), (CERTIFICATE_FILE, self.certificate_pem.encode())):
            partial = folder / f".{name}.partial"
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(folder / name)


def create_identity(worker_id: str) -> Identity:
    """A new key, and a certificate for it in the name of `worker_id` (at most 64 characters)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, worker_id)])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # a day of slack for a peer whose clock is behind
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(worker_id, certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem)


def load_identity(folder: Path) -> Identity:
    """Read what `Identity.save` wrote. Raises ChannelError CL-1330."""
    try:
        certificate_pem = (folder / CERTIFICATE_FILE).read_text("ascii")
        key_pem = (folder / KEY_FILE).read_bytes()
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ChannelError("CL-1330", details={"reason": type(error).__name__}) from None
    certificate = _read(certificate_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != _key(certificate):
        raise ChannelError("CL-1330", "The worker's key and certificate don't belong together.")
    return Identity(common_name(certificate_pem), certificate_pem, key_pem)


def fingerprint(certificate_pem: str) -> str:
    """SHA-256 of a certificate's DER form, in hex. Raises ChannelError CL-1330."""
    return _read(certificate_pem).fingerprint(hashes.SHA256()).hex()


def fingerprint_der(certificate_der: bytes) -> str:
    """SHA-256 of a certificate as TLS hands it over."""
    return hashlib.sha256(certificate_der).hexdigest()


def common_name(certificate_pem: str) -> str:
    """The worker id that a certificate is made out to. Raises ChannelError CL-1330."""
    names = _read(certificate_pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise ChannelError("CL-1330", "The certificate doesn't name a worker.")
    return str(names[0].value)


def signature_holds(certificate_pem: str, text: bytes, signature: bytes) -> bool:
    """Whether the certificate's key made `Identity.sign`'s signature of `text`. Raises ChannelError CL-1330."""
    key = _key(_read(certificate_pem))
    if not isinstance(key, ec.EllipticCurvePublicKey) or len(signature) != SIGNATURE_BYTES:
        return False
    numbers = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(numbers, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def check_pin(certificate_pem: str) -> None:
    """Refuse a certificate that may not stand in a contract: expired, or not P-256. Raises ChannelError CL-1330."""
    certificate = _read(certificate_pem)
    key = _key(certificate)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ChannelError("CL-1330", "The certificate's key isn't a P-256 key.")
    if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
        raise ChannelError("CL-1330", "The certificate isn't valid at this worker's current time. Check the clock.")


def _key(certificate: x509.Certificate) -> object:
    """Its public key; None for bytes that are no point of their curve, zeros for one."""
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _read(certificate_pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate_pem.encode())
    except ValueError:
        raise ChannelError("CL-1330", "This isn't a certificate.") from None
