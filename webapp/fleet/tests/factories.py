"""Makes workers with real keys, and signs their requests, for tests of every app."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from webapp.fleet.models import Worker, WorkerState
from webapp.orgs.models import Organisation, PartyKind
from workers.contracts import (
    API_PREFIX,
    HEADER_NONCE,
    HEADER_SIGNATURE,
    HEADER_TIME,
    HEADER_WORKER,
    PROTOCOL_VERSION,
    RotateRequest,
    WorkerFacts,
    rotation_input,
    signing_input,
)

FACTS = WorkerFacts(cutlayer="0.1.0", python="3.11", cpus=2, memory_bytes=4_000_000_000)


def make_certificate(*, key: ec.EllipticCurvePrivateKey | None = None, days: int = 365, name: str = "worker") -> tuple:
    """A P-256 key and its self-signed certificate in PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(Encoding.PEM).decode()


def rotation(
    worker: SigningWorker, certificate_pem: str, key: ec.EllipticCurvePrivateKey, *, of: str = ""
) -> RotateRequest:
    """A request for the next certificate of a worker (or of the one named), signed with this key."""
    present = Worker.objects.get(pk=worker.row.pk).fingerprint
    message = rotation_input(of or worker.row.pk, present, fingerprint_of(certificate_pem))
    proof = base64.b64encode(key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()
    return RotateRequest(certificate_pem=certificate_pem, proof=proof)


def fingerprint_of(pem: str) -> str:
    """SHA-256 of the certificate's DER form."""
    return hashlib.sha256(x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)).hexdigest()


@dataclass
class SigningWorker:
    """A worker's row together with its private key."""

    row: Worker
    key: ec.EllipticCurvePrivateKey

    def headers(self, method: str, path: str, body: bytes = b"", *, at: float | None = None, digest: str = "") -> dict:
        """The four headers for one request."""
        timestamp, nonce = str(at if at is not None else time.time()), secrets.token_hex(16)
        message = signing_input(method, path, timestamp, nonce, digest or hashlib.sha256(body).hexdigest())
        signature = self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        return {
            HEADER_WORKER: self.row.id,
            HEADER_TIME: timestamp,
            HEADER_NONCE: nonce,
            HEADER_SIGNATURE: base64.b64encode(signature).decode(),
        }

    def post(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        """A signed POST of a message (or of a dictionary) below the worker API."""
        raw = body.model_dump_json().encode() if hasattr(body, "model_dump_json") else json.dumps(body or {}).encode()
        return self.post_raw(path, raw, **options)

    def post_raw(self, path: str, raw: bytes, **options: Any) -> HttpResponse:
        """A signed POST of these very bytes below the worker API."""
        full = f"{API_PREFIX}/{path}"
        headers = options.pop("headers", None) or self.headers("POST", full, raw, **options)
        return Client().post(full, data=raw, content_type="application/json", headers=headers)

    def get(self, path: str, **options: Any) -> HttpResponse:
        """A signed GET below the worker API."""
        full = f"{API_PREFIX}/{path}"
        headers = options.pop("headers", None) or self.headers("GET", full, **options)
        return Client().get(full, headers=headers)

    def put(self, path: str, body: bytes, digest: str) -> HttpResponse:
        """A signed PUT of a file whose SHA-256 is announced in the query."""
        full = f"{API_PREFIX}/{path}"
        headers = self.headers("PUT", full, digest=digest)
        return Client().put(full, data=body, content_type="application/octet-stream", headers=headers)


_count = 0


def make_worker(
    organisation: Organisation, *, kind: str = PartyKind.DATA, state: str = WorkerState.ACTIVE, **fields: Any
) -> SigningWorker:
    """An enrolled worker with a key of its own, confirmed unless another state is given."""
    global _count
    _count += 1
    key, pem = make_certificate()
    values = {
        "name": f"worker-{_count}",
        "facts": FACTS.model_dump(mode="json"),
        "version": FACTS.cutlayer,
        "protocol": PROTOCOL_VERSION,
        "confirmed_at": timezone.now() if state == WorkerState.ACTIVE else None,
        **fields,
    }
    row = Worker.objects.create(
        organisation=organisation,
        kind=kind,
        state=state,
        certificate_pem=pem,
        fingerprint=fingerprint_of(pem),
        **values,
    )
    return SigningWorker(row=row, key=key)


def give_key(worker: Worker) -> SigningWorker:
    """Give a worker that another app's factory made a key, so that it can sign."""
    key, pem = make_certificate()
    worker.certificate_pem, worker.fingerprint = pem, fingerprint_of(pem)
    worker.save()
    return SigningWorker(row=worker, key=key)
