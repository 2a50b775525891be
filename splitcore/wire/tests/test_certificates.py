"""Worker keys and certificates: form, files, fingerprints."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import stat
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from splitcore.wire.protocol.messages import ChannelError
from splitcore.wire.transport.certificates import (
    CERTIFICATE_FILE,
    KEY_FILE,
    Identity,
    check_pin,
    common_name,
    create_identity,
    fingerprint,
    load_identity,
)
from splitcore.wire.transport.preflight import client_context


def test_a_certificate_names_its_worker_and_may_sign_no_other() -> None:
    identity = create_identity("w-123")
    certificate = x509.load_pem_x509_certificate(identity.certificate_pem.encode())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert common_name(identity.certificate_pem) == "w-123"
    check_pin(identity.certificate_pem)


def test_the_fingerprint_is_the_sha256_of_the_der_form() -> None:
    identity = create_identity("w")
    der = ssl.PEM_cert_to_DER_cert(identity.certificate_pem)
    assert identity.fingerprint == fingerprint(identity.certificate_pem) == hashlib.sha256(der).hexdigest()


def test_files_are_private_and_read_back(tmp_path: Path) -> None:
    identity = create_identity("w")
    identity.save(tmp_path / "keys")
    for name in (KEY_FILE, CERTIFICATE_FILE):
        assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600
    assert load_identity(tmp_path / "keys") == identity
    identity.save(tmp_path / "keys")


def test_a_missing_foreign_or_broken_key_is_said_to_be_unusable(tmp_path: Path) -> None:
    with pytest.raises(ChannelError, match="CL-1330"):
        load_identity(tmp_path)
    create_identity("w").save(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(create_identity("w").key_pem)
    with pytest.raises(ChannelError, match="don't belong together"):
        load_identity(tmp_path)
    with pytest.raises(ChannelError, match="CL-1330"):
        fingerprint("no certificate")


def test_the_key_does_not_show_in_a_log() -> None:
    assert "PRIVATE" not in repr(create_identity("w"))


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_key_for_a_trial_connection_stands_in_no_file_that_stays(
    in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if in_memory and not hasattr(os, "memfd_create"):
        pytest.skip("this system has no files in memory")
    if in_memory:
        tmp_path.chmod(0o500)
        monkeypatch.setattr(tempfile, "TemporaryDirectory", None)  # root may write into a closed folder
    else:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    assert client_context(create_identity("w-1")).get_ca_certs() == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ChannelError, match="CL-1330"):
        client_context(Identity("w-1", create_identity("w-1").certificate_pem, b"no key"))


@pytest.mark.parametrize("point", [bytes(65), b"\x04" + bytes(64)], ids=["zeros", "a point of zeros"])
def test_a_certificate_whose_key_is_no_point_of_the_curve_stands_in_no_contract(point: bytes) -> None:
    whole = x509.load_pem_x509_certificate(create_identity("w").certificate_pem.encode())
    key = whole.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    own = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    der = whole.public_bytes(Encoding.DER).replace(own, point)
    pem = ssl.DER_cert_to_PEM_cert(der)
    assert base64.b64encode(bytes(30)).decode() in pem, "they are in it"
    with pytest.raises(ChannelError, match="CL-1330"):
        check_pin(pem)
